// What screens have beyond what they need: everything works without this file.
"use strict";

// Where a page came back with an error, the summary is what is read first.
const problem = document.getElementById("masalah");
if (problem) problem.focus();

// Whether the device has a line. It says nothing of whether the office answers.
const line = document.getElementById("daring");
const tell = () => {
  line.textContent = navigator.onLine ? line.dataset.on : line.dataset.off;
  line.classList.toggle("off", !navigator.onLine);
};
if (line) {
  tell();
  addEventListener("online", tell);
  addEventListener("offline", tell);
}

// Esc twice within a second hides the page; going back does not bring it before who looks on.
const hide = document.getElementById("sembunyi");
let escaped = -Infinity;
if (hide) {
  hide.querySelector(".keys").hidden = false;
  const away = () => location.replace(hide.href);
  hide.addEventListener("click", (event) => {
    event.preventDefault();
    away();
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (event.timeStamp - escaped < 1000) away();
    escaped = event.timeStamp;
  });
}
