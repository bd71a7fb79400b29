"use strict";
// A running training writes its page every few seconds: one not written for ten minutes was killed, and stands still.
const written = Number(document.body.dataset.written);
if (Date.now() / 1000 - written < 600) setTimeout(() => location.reload(), 20000);
else document.getElementById("state").textContent = "Not heard of for ten minutes";
