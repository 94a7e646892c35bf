// The panel Action: an action of one of the motion models, several in a row, a video to follow, or a motion file.

import { ask, upload } from "./api.js";
import { $, calm, complain, make, say } from "./dom.js";
import { on, scene, tell } from "./scene.js";

const SUITS = { fair: ["~", "possible with flaws"], poor: ["!", "does not suit this photo"] };
let fits = {};
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((one) => one.isIntersecting)) {
    const action = encodeURIComponent(entry.target.dataset.action);
    entry.target.style.backgroundImage = `url("api/actions/${action}.webp?model=${encodeURIComponent(scene.model)}")`;
    seen.unobserve(entry.target);
  }
});

export function setUpActions(facts) {
  listActions(facts.models[0]);
  setUpModels(facts.models);
  setUpPause();
  for (const [value, label] of Object.entries(facts.sizes)) $("size").append(make("option", { value, textContent: label }));
  $("in-a-row").addEventListener("change", () => {
    if (!$("in-a-row").checked) scene.actions = scene.actions.slice(-1);
    changed();
  });
  $("driving-file").addEventListener("change", (event) => takeFile("driving", event.target));
  $("motion-file").addEventListener("change", (event) => takeFile("motion", event.target));
  $("source-clear").addEventListener("click", () => {
    scene.motion = scene.driving = "";
    changed();
  });
  setUpView();
  on("person", judge);
}

/** Show the actions of a model. */
function listActions(model) {
  scene.model = model.id;
  scene.fps = model.fps;
  scene.actions = [];
  $("actions").replaceChildren();
  for (const { id, label } of model.actions) {
    const strip = make("span", { className: "strip" });
    strip.dataset.action = id;
    const button = make("button", { type: "button", className: "action" }, strip, make("span", { textContent: label }));
    button.dataset.action = id;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => choose(id));
    $("actions").append(button);
    seen.observe(strip);
  }
}

function setUpModels(models) {
  $("model-label").hidden = models.length === 1;
  for (const { id, label } of models) $("model").append(make("option", { value: id, textContent: label }));
  $("model").addEventListener("change", () => {
    listActions(models.find((model) => model.id === $("model").value));
    $("action-why").textContent = "";
    changed();
    judge();
  });
}

function choose(id) {
  scene.motion = scene.driving = "";
  if ($("in-a-row").checked) scene.actions = [...scene.actions, id].slice(0, 8);
  else scene.actions = scene.actions[0] === id && scene.actions.length === 1 ? [] : [id];
  const fit = fits[id];
  $("action-why").textContent = fit?.why || "";
  changed();
}

function changed() {
  calm();
  show();
  tell("change");
}

function show() {
  const inRow = $("in-a-row").checked;
  for (const button of $("actions").children) button.setAttribute("aria-pressed", String(scene.actions.includes(button.dataset.action)));
  $("row-list").hidden = !inRow || !scene.actions.length;
  $("row-list").replaceChildren(
    ...scene.actions.map((id, index) => {
      const label = id.replaceAll("_", " ");
      const remove = make("button", { type: "button", textContent: "×" });
      remove.setAttribute("aria-label", `Remove ${label}, number ${index + 1}`);
      remove.addEventListener("click", () => {
        scene.actions = scene.actions.filter((_, other) => other !== index);
        changed();
      });
      return make("li", {}, make("span", { textContent: label }), remove);
    }));
  $("source").hidden = !(scene.motion || scene.driving);
  for (const id of ["length", "yaw"]) $(id).disabled = Boolean(scene.driving || (id === "length" && scene.motion));
}

async function takeFile(role, input) {
  const file = input.files[0];
  if (!file) return;
  try {
    const kept = await upload(`files/${role}`, file, file.name);
    scene.actions = [];
    scene.motion = scene.driving = "";
    scene[role] = kept.file;
    $("source-name").textContent = role === "driving" ? `Follows ${kept.name}` : `Moves as in ${kept.name}`;
    changed();
    say(`${kept.name} is used.`);
  } catch (error) {
    complain(error);
  } finally {
    input.value = "";
  }
}

function setUpView() {
  const length = () => ($("length-text").textContent = `${scene.seconds} s`);
  $("length").addEventListener("input", (event) => {
    scene.seconds = Number(event.target.value);
    length();
  });
  $("length").addEventListener("change", () => tell("change"));
  const yaw = () => ($("yaw-text").textContent = scene.yaw === null ? "automatic" : `${scene.yaw}°`);
  $("yaw").addEventListener("input", (event) => {
    scene.yaw = Number(event.target.value);
    yaw();
  });
  $("yaw").addEventListener("change", () => tell("change"));
  $("yaw-auto").addEventListener("click", () => {
    scene.yaw = null;
    $("yaw").value = 0;
    yaw();
    tell("change");
  });
  for (const id of ["size", "travel", "seed"]) {
    $(id).addEventListener("change", (event) => {
      scene[id] = id === "seed" ? Math.max(0, Math.round(Number(event.target.value) || 0)) : event.target.value;
      tell("change");
    });
  }
}

function setUpPause() {
  const button = $("pause-strips");
  const pause = (isPaused) => {
    $("actions").classList.toggle("paused", isPaused);
    button.setAttribute("aria-pressed", String(isPaused));
  };
  button.addEventListener("click", () => pause(button.getAttribute("aria-pressed") !== "true"));
  pause(matchMedia("(prefers-reduced-motion: reduce)").matches);
}

/** Ask which actions suit the photo, and mark the others. */
async function judge() {
  fits = {};
  mark();
  if (scene.model) return; // the built-in actions alone are judged
  try {
    fits = await ask("suitability");
    mark();
  } catch (error) {
    if (error.status !== 409) complain(error);
  }
}

function mark() {
  for (const button of $("actions").children) {
    button.querySelector(".badge")?.remove();
    button.querySelector(".visually-hidden")?.remove();
    const [sign, words] = SUITS[fits[button.dataset.action]?.suits] || [];
    if (!sign) continue;
    const badge = make("span", { className: `badge ${fits[button.dataset.action].suits}`, textContent: sign, title: fits[button.dataset.action].why });
    badge.setAttribute("aria-hidden", "true");
    button.append(badge, make("span", { className: "visually-hidden", textContent: `, ${words}` }));
  }
}
