import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { aptInstall } from "./apt.mjs";

/** Where distributions put SwiftShader, the software Vulkan driver that comes with Chromium. */
const swiftShader = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

/** Makes sure that the worker will find a Vulkan adapter: the hardware's, or else SwiftShader. */
export async function installVulkan() {
  if (process.platform !== "linux") return;
  const packages = [
    ...(hardwareDriver() || swiftShader.some((file) => fs.existsSync(file)) ? [] : ["chromium"]),
    ...(loaderInstalled() ? [] : ["libvulkan1"]),
  ];
  if (packages.length === 0) return;
  await aptInstall(packages, packages.includes("chromium") ? "A Vulkan driver" : "The Vulkan loader");
}

/** A GPU's device file together with a Vulkan driver that is not a software one. */
function hardwareDriver() {
  const devices = ["/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg"];
  const renders =
    fs.existsSync("/dev/dri") && fs.readdirSync("/dev/dri").some((name) => name.startsWith("render"));
  if (!renders && !devices.some((file) => fs.existsSync(file))) return false;
  const given = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES;
  const manifests = given ? given.split(":") : driverManifests();
  return manifests.some(
    (file) => !/lvp|lavapipe|swiftshader/i.test(path.basename(file)) && fs.existsSync(file),
  );
}

/** The folders of the Vulkan loader's documentation (LoaderDriverInterface.md), as far as drivers use them. */
function driverManifests() {
  const data = (process.env.XDG_DATA_DIRS || "/usr/local/share:/usr/share").split(":");
  const folders = ["/etc", "/usr/local/etc", path.join(os.homedir(), ".local/share"), ...data];
  return folders
    .map((folder) => path.join(folder, "vulkan", "icd.d"))
    .filter((folder) => fs.existsSync(folder))
    .flatMap((folder) => fs.readdirSync(folder).map((name) => path.join(folder, name)))
    .filter((file) => file.endsWith(".json"));
}

function loaderInstalled() {
  const name = "libvulkan.so.1";
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const folders = [`/usr/lib/${triplet}`, `/lib/${triplet}`, "/usr/lib64", "/usr/lib", "/usr/local/lib"];
  const searched = [...(process.env.LD_LIBRARY_PATH ?? "").split(":").filter(Boolean), ...folders];
  if (searched.some((folder) => fs.existsSync(path.join(folder, name)))) return true;
  const cache = spawnSync("/sbin/ldconfig", ["-p"], { encoding: "utf8" });
  return (cache.stdout ?? "").includes(name);
}
