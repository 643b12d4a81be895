// Loaded into every process that `npm start` spawns: when the parent is gone, however it ended, the pipe between
// them closes, and the child ends as if it had been asked to.
if (process.channel !== undefined) {
  process.on("disconnect", () => {
    process.kill(process.pid, "SIGTERM");
    setTimeout(() => process.exit(1), 30_000).unref();
  });
  process.channel.unref();
}
