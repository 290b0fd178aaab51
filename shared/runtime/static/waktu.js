// The slider of a timeline: it fills the field of its time in, and nothing else. Without this file
// there are the field and the links beside it.
"use strict";

for (const slider of document.querySelectorAll("input[data-steps]")) {
  const steps = slider.dataset.steps.split(",");
  const field = document.getElementById(slider.dataset.for);
  const say = () => slider.setAttribute("aria-valuetext", steps[slider.value].replace("T", " "));
  slider.hidden = false;
  say();
  slider.addEventListener("input", () => {
    field.value = steps[slider.value];
    say();
  });
}
