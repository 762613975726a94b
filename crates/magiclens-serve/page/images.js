// Images that the user brought: the server knows them by id, but only this page has their pixels. The files live as long
// as the page, small copies as long as the tab, so that a reload still shows them.

import { thumbnailAddress } from "./api.js";

const SMALL_PX = 224;

const files = new Map();
const addresses = new Map();

/** Keeps a file under the id that the server gave it. */
export function remember(id, file) {
  files.set(id, file);
  if (!addresses.has(id)) addresses.set(id, URL.createObjectURL(file));
  keepSmall(id, file);
}

/** The file with this id, if the user brought it to this page. */
export function fileOf(id) {
  return files.get(id);
}

/** The address to show for this id: the user's own image, else the thumbnail of the index. */
export function smallAddress(id) {
  return addresses.get(id) ?? stored(id) ?? thumbnailAddress(id);
}

function stored(id) {
  try {
    return sessionStorage.getItem(`image:${id}`);
  } catch {
    return null; // storage is switched off
  }
}

async function keepSmall(id, file) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, SMALL_PX / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    sessionStorage.setItem(`image:${id}`, canvas.toDataURL("image/webp", 0.85));
  } catch {
    // A format that only the server reads, or a full storage: the image is then missing after a reload, nothing else.
  }
}
