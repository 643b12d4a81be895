import { syncBuiltinESMExports } from "node:module";
import os from "node:os";

// Loaded before a program: to Facet, which tells machines apart by their names, it then runs on another one.
os.hostname = () => "other-machine";
syncBuiltinESMExports();
