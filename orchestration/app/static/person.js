// The panel Person: a photo or a video in, what is seen in it out.

import { ask, upload } from "./api.js";
import { $, calm, complain, make, say, svg } from "./dom.js";
import { on, tell } from "./scene.js";

const MOST_PICTURE = 60 * 2 ** 20;
let largest = Infinity;

export function setUpPerson(facts) {
  largest = facts.largest;
  $("person-file").addEventListener("change", (event) => take(event.target.files[0], event.target));
  for (const name of facts.examples) {
    const button = make("button", { type: "button", className: "link", textContent: name });
    button.setAttribute("aria-label", `Example person ${name}`);
    button.addEventListener("click", () => look(`Drawing ${name} …`, () => ask(`example/${name}`)));
    $("examples").append(button);
  }
  setUpDrop();
  setUpCamera();
  for (const id of ["show-skeleton", "show-outlines"]) $(id).addEventListener("change", showLayers);
  $("person-number").addEventListener("change", (event) => look("Looking …", () => ask(`person/${event.target.value}`)));
  on("garment", mark);
}

async function take(file, input) {
  if (!file) return;
  const isPicture = file.type.startsWith("image/");
  if (file.size > (isPicture ? MOST_PICTURE : largest)) {
    const most = (isPicture ? MOST_PICTURE : largest) / 2 ** 20;
    complain(new Error(`This file has ${Math.round(file.size / 2 ** 20)} MB. Up to ${most} MB are taken: make it smaller, or cut it shorter.`));
  } else {
    await look(file.type.startsWith("video/") ? "Looking at the video. This takes a while …" : "Looking for the person …", (share) =>
      upload("person", file, file.name || "webcam.jpg", share));
  }
  if (input) input.value = "";
}

async function look(text, act) {
  calm();
  $("person-busy").hidden = false;
  $("person-busy-text").textContent = text;
  $("person-progress").removeAttribute("value");
  say(text);
  try {
    show(await act((share) => share < 1 ? ($("person-progress").value = share) : $("person-progress").removeAttribute("value")));
  } catch (error) {
    complain(error);
  } finally {
    $("person-busy").hidden = true;
  }
}

function show(person) {
  const [height, width] = person.size;
  $("person-seen").hidden = false;
  $("drop").classList.add("compact");
  const picture = $("person-picture");
  picture.src = person.picture;
  picture.width = width;
  picture.height = height;
  const worn = person.garments.map((one) => one.label.toLowerCase()).join(" and ");
  picture.alt = `${person.name}: a person, of whom ${worn || "no garment"} is outlined`;
  drawOverlay(person, width, height);
  $("findings").replaceChildren(
    ...(person.findings.length ? person.findings.map((text) => make("li", { textContent: text }))
      : [make("li", { className: "good", textContent: "The person is seen well: every action can be tried." })]));
  $("person-number-label").hidden = person.people < 2;
  $("person-number").replaceChildren(
    ...Array.from({ length: person.people }, (_, i) => make("option", { value: i + 1, textContent: i ? `person ${i + 1}` : "the most prominent", selected: i + 1 === person.person })));
  say(`The person is found. ${person.findings.join(" ")}`);
  tell("person", person);
}

function drawOverlay(person, width, height) {
  const overlay = $("person-overlay");
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const outlines = svg("g", { id: "overlay-outlines" });
  for (const garment of person.garments) {
    const path = garment.outlines.map((points) => `M${points.map((point) => point.join(",")).join("L")}Z`).join("");
    outlines.append(svg("path", { d: path, class: "halo" }));
    const outline = svg("path", { d: path, class: `outline ${garment.id}`, "data-garment": garment.id });
    outline.append(Object.assign(svg("title", {}), { textContent: garment.label }));
    outline.addEventListener("click", () => tell("garment", garment.id));
    outlines.append(outline);
  }
  const skeleton = svg("g", { id: "overlay-skeleton", "pointer-events": "none" });
  for (const kind of ["bone-halo", "bone"]) {
    for (const [x1, y1, x2, y2] of person.skeleton) skeleton.append(svg("line", { x1, y1, x2, y2, class: kind }));
  }
  overlay.replaceChildren(outlines, skeleton);
  showLayers();
}

function showLayers() {
  for (const name of ["skeleton", "outlines"]) {
    const layer = $(`overlay-${name}`);
    if (layer) layer.style.display = $(`show-${name}`).checked ? "" : "none";
  }
}

function mark(garment) {
  for (const outline of document.querySelectorAll(".outline")) outline.classList.toggle("chosen", outline.dataset.garment === garment);
}

function setUpDrop() {
  const drop = $("drop");
  for (const name of ["dragenter", "dragover"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) addEventListener(name, () => drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
}

function setUpCamera() {
  const [dialog, video] = [$("camera"), $("camera-video")];
  let stream = null;
  $("camera-open").hidden = !navigator.mediaDevices;
  $("camera-open").addEventListener("click", async () => {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 960 } } });
    } catch {
      complain(new Error("The camera could not be used. Allow it in the browser, or choose a file."));
      return;
    }
    video.srcObject = stream;
    dialog.showModal();
    await video.play();
  });
  $("camera-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    stream?.getTracks().forEach((track) => track.stop());
    $("camera-open").focus();
  });
  $("camera-take").addEventListener("click", async () => {
    for (const count of [3, 2, 1]) {
      $("camera-count").textContent = count;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    $("camera-count").textContent = "";
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
    take(new File([blob], "webcam.jpg", { type: "image/jpeg" }));
  });
}
