/** What this machine says about its devices, mounts and files: the one door of this room. */
export { backingFilesOf, identityOf, layersOf, layersOfNew } from "./layers.ts";
export { deviceNumber, look, readLine, SysDevice } from "./sysfs.ts";
export { usesOf } from "./uses.ts";
