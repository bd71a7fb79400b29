"use strict";
// CSV and JSON lie in the page as base64 of gzip; they are unpacked only when somebody asks for them.
const downloads = (() => {
  async function unpack(base64) {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    if (typeof DecompressionStream === "undefined") return null;
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  }

  async function save(element) {
    const plain = await unpack(element.textContent.trim());
    const packed = () => new Blob([Uint8Array.from(atob(element.textContent.trim()), (c) => c.charCodeAt(0))]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(plain ? new Blob([plain], { type: element.dataset.mime }) : packed());
    link.download = element.dataset.name + (plain ? "" : ".gz");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  for (const button of document.querySelectorAll("button[data-file]")) {
    button.addEventListener("click", () => save(document.getElementById(button.dataset.file)));
  }
  return { unpack };
})();
