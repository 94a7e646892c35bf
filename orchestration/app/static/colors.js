// The panel Colours: a colour for each garment, from swatches, the picker, words or a photo of cloth.

import { upload } from "./api.js";
import { $, calm, complain, make, markChecked, roving, say } from "./dom.js";
import { on, scene, tell, tried } from "./scene.js";

const SWATCHES = [
  ["white", "#f5f5f2"], ["light grey", "#bdbdbd"], ["grey", "#7a7a7a"], ["charcoal", "#3a3d40"], ["black", "#161616"], ["beige", "#d8c3a0"],
  ["brown", "#6b4226"], ["red", "#c0272d"], ["burgundy", "#6d1027"], ["coral", "#f26b5b"], ["pink", "#f2a7c0"], ["magenta", "#b5267f"],
  ["orange", "#e67e22"], ["mustard", "#d4a017"], ["yellow", "#f4d03f"], ["olive", "#6b7a2a"], ["green", "#2e8b57"], ["mint", "#a8dfc4"],
  ["teal", "#008080"], ["sky blue", "#7fb8e6"], ["blue", "#2a6fdb"], ["navy", "#1b2a55"], ["lavender", "#b9a5e0"], ["purple", "#6a3d9a"],
];
let garments = [];
let chosen = "";

export const garmentIds = () => garments.map((one) => one.id);

export function setUpColors() {
  for (const [name, value] of SWATCHES) {
    const swatch = make("button", { type: "button", className: "swatch", title: name });
    swatch.setAttribute("role", "radio");
    swatch.setAttribute("aria-label", name);
    swatch.dataset.color = value;
    swatch.style.backgroundColor = value;
    swatch.addEventListener("click", () => choose(value));
    $("swatches").append(swatch);
  }
  roving($("swatches"));
  roving($("garments"));
  $("color-picker").addEventListener("input", (event) => choose(event.target.value));
  $("color-text").addEventListener("change", (event) => event.target.value.trim() && choose(event.target.value.trim()));
  $("color-keep").addEventListener("click", () => choose(""));
  $("cloth-file").addEventListener("change", (event) => takeCloth(event.target));
  $("fade").addEventListener("change", changeFade);
  $("fade-picker").addEventListener("input", changeFade);
  on("person", (person) => {
    garments = person.garments;
    $("colors-empty").hidden = garments.length > 0;
    $("colors-empty").textContent = "No garment is seen in this photo.";
    $("colors-tools").hidden = !garments.length;
    showGarments();
    if (garments.length) tell("garment", garments.some((one) => one.id === chosen) ? chosen : garments[0].id);
  });
  on("garment", (id) => {
    chosen = id;
    showGarments();
    showChoice();
  });
  on("still", (still) => report(still.colors));
}

function showGarments() {
  const chips = garments.map((one) => {
    const dot = make("span", { className: "dot" });
    const color = scene.colors[one.id];
    dot.style.backgroundColor = color.startsWith("cloth:") ? "transparent" : color || one.color;
    const chip = make("button", { type: "button", className: "chip" }, dot, make("span", { textContent: one.label }));
    chip.setAttribute("role", "radio");
    chip.dataset.garment = one.id;
    chip.addEventListener("click", () => tell("garment", one.id));
    return chip;
  });
  const hadFocus = $("garments").contains(document.activeElement);
  $("garments").replaceChildren(...chips);
  const chip = chips.find((one) => one.dataset.garment === chosen);
  markChecked($("garments"), chip);
  if (hadFocus && chip) chip.focus();
}

function showChoice() {
  const color = scene.colors[chosen] || "";
  const garment = garments.find((one) => one.id === chosen);
  markChecked($("swatches"), [...$("swatches").children].find((one) => one.dataset.color === color));
  $("swatches-title").textContent = `Colour of the ${garment ? garment.label.toLowerCase() : "garment"}`;
  $("color-picker").value = /^#[0-9a-f]{6}$/i.test(color) ? color : garment?.color || "#888888";
  $("color-text").value = color.startsWith("cloth:") ? "" : color;
  $("color-keep").setAttribute("aria-pressed", String(!color));
  $("cloth-thumb").hidden = !color.startsWith("cloth:");
  const fade = scene.fades[chosen];
  $("fade").checked = Boolean(fade);
  $("fade").disabled = !color;
  $("fade-label").hidden = !fade;
  if (fade) $("fade-picker").value = fade;
}

function choose(color) {
  scene.colors[chosen] = color;
  if (color) tried[chosen].add(color);
  if (!color) scene.fades[chosen] = "";
  calm();
  showGarments();
  showChoice();
  tell("change");
}

function changeFade() {
  scene.fades[chosen] = $("fade").checked ? $("fade-picker").value : "";
  showChoice();
  tell("change");
}

async function takeCloth(input) {
  const file = input.files[0];
  if (!file) return;
  try {
    const kept = await upload("files/cloth", file, file.name);
    $("cloth-thumb").src = kept.thumbnail;
    $("cloth-thumb").alt = `Cloth: ${kept.name}`;
    choose(`cloth:${kept.file}`);
    say(`The colour is taken from ${kept.name}.`);
  } catch (error) {
    complain(error);
  } finally {
    input.value = "";
  }
}

function report(colors) {
  $("color-report").replaceChildren(
    ...colors.map((one) => {
      const dot = make("span", { className: "dot" });
      dot.style.backgroundColor = one.shown;
      const label = garments.find((garment) => garment.id === one.id)?.label || one.id;
      const note = one.note ? ` ${one.note}` : "";
      return make("p", {}, dot, make("span", { textContent: `${label}: ${one.asked} ${one.name}, ${meaning(one.difference)}.${note}` }));
    }));
}

function meaning(difference) {
  const words = difference < 1 ? "nobody sees a difference" : difference < 2.5 ? "hardly to be seen" : "a visible difference";
  return `measured ΔE ${difference.toFixed(1)}: ${words}`;
}
