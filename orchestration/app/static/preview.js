// The panel Preview: a still at once, then the frames of the video as they are drawn, and downloads.

import { ask, download, path, watch } from "./api.js";
import { garmentIds } from "./colors.js";
import { $, calm, complain, say } from "./dom.js";
import { asked, moves, on, scene, tell, tried } from "./scene.js";

const WAIT = 40; // milliseconds in which changes are taken together
let person = null;
let timer = 0;
let pending = null;
let isAsking = false;
let film = null;
let isSeen = false; // whether the preview is on the screen

export function setUpPreview() {
  on("person", (seen) => {
    person = seen;
    change();
  });
  on("change", change);
  $("moment").addEventListener("input", (event) => {
    scene.moment = Number(event.target.value);
    change();
  });
  $("compare").addEventListener("input", compare);
  $("draw").addEventListener("click", draw);
  $("cancel").addEventListener("click", cancel);
  $("back").addEventListener("click", () => {
    showStill();
    $("draw").focus();
  });
  $("get-png").addEventListener("click", () => fetchFile($("get-png"), "still.png", asked(garmentIds())));
  $("get-sheet").addEventListener("click", () => fetchFile($("get-sheet"), "sheet.png", sheet()));
  new IntersectionObserver(([entry]) => {
    isSeen = entry.isIntersecting;
    $("peek").hidden = isSeen || !$("peek-picture").src;
  }, { threshold: 0.15 }).observe($("stage"));
  for (const id of ["cli", "python"]) $(`copy-${id}`).addEventListener("click", () => copy(id));
}

function change() {
  if (!person) return;
  if (film) stop();
  $("draw").disabled = !moves();
  clearTimeout(timer);
  timer = setTimeout(() => {
    pending = asked(garmentIds());
    askStill();
  }, WAIT);
}

/** Ask for one still at a time, and then for the newest that is wanted. */
async function askStill() {
  if (isAsking || !pending) return;
  isAsking = true;
  const busy = setTimeout(() => ($("stage-busy").hidden = false), 250);
  try {
    while (pending) {
      const wanted = pending;
      pending = null;
      const begun = performance.now();
      const still = await ask("still", wanted);
      document.body.dataset.stillMs = Math.round(performance.now() - begun);
      if (!pending) show(still);
    }
  } catch (error) {
    complain(error);
  } finally {
    isAsking = false;
    clearTimeout(busy);
    $("stage-busy").hidden = true;
  }
  if (pending) askStill();
}

function show(still) {
  $("stage-empty").hidden = true;
  $("still-before").src = still.before;
  $("still-after").src = still.after;
  $("peek-picture").src = still.after;
  $("peek").hidden = isSeen;
  const what = moves() ? `${scene.actions.join(", ").replaceAll("_", " ") || "the motion"}, frame ${still.frame + 1} of ${still.frames}` : "as in the photo";
  const worn = still.colors.map((one) => `${one.id} ${one.name}`).join(", ") || "own colours";
  $("still-after").alt = `The person, ${what}, ${worn}`;
  $("moment-label").hidden = still.frames < 2;
  $("moment-text").textContent = `frame ${still.frame + 1} of ${still.frames}`;
  $("compare-label").hidden = !still.colors.length;
  if (!still.colors.length) $("compare").value = 0;
  $("cli").textContent = still.command || "Choose an action first.";
  $("python").textContent = still.python || "Choose an action first.";
  $("get-png").disabled = false;
  $("get-sheet").disabled = person.isVideo || !(tried.upper.size || tried.lower.size);
  if (!film) showStill(); // one that was asked for before the video is not to take its place
  tell("still", still);
}

function showStill() {
  for (const id of ["film-canvas", "film-video", "back"]) $(id).hidden = true;
  $("film-video").pause();
  for (const id of ["still-before", "still-after"]) $(id).hidden = false;
  compare();
}

function compare() {
  const share = Number($("compare").value);
  const isOn = share > 0 && !$("still-after").hidden;
  $("still-after").style.clipPath = isOn ? `inset(0 0 0 ${share}%)` : "";
  $("still-before").style.clipPath = isOn ? `inset(0 ${100 - share}% 0 0)` : "inset(0 100% 0 0)";
  $("tag-before").hidden = $("tag-after").hidden = !isOn;
}

async function draw() {
  calm();
  stop();
  film = new AbortController();
  const mine = film;
  setBusy(true);
  say("The video is being drawn.");
  const begun = performance.now();
  try {
    const { video } = await ask("videos", asked(garmentIds()), mine.signal);
    let [total, count, name] = [0, 0, ""];
    for await (const { kind, content } of watch(video, mine.signal)) {
      if (kind === "M") total = JSON.parse(new TextDecoder().decode(content)).frames;
      else if (kind === "E") throw new Error(JSON.parse(new TextDecoder().decode(content)).error);
      else if (kind === "F") {
        count += 1;
        if (count === 1) document.body.dataset.firstFrameMs = Math.round(performance.now() - begun);
        await paint(content);
        $("film-progress").value = count / total;
        $("film-text").textContent = `${count} of ${total} frames`;
      } else if (kind === "Z") finish(video);
    }
  } catch (error) {
    if (mine === film) {
      complain(error);
      showStill();
    }
  } finally {
    if (mine === film) {
      film = null;
      setBusy(false);
    }
  }
}

async function paint(content) {
  const picture = await createImageBitmap(new Blob([content], { type: "image/jpeg" }));
  const canvas = $("film-canvas");
  if (canvas.hidden) {
    [canvas.width, canvas.height] = [picture.width, picture.height];
    for (const id of ["still-before", "still-after", "film-video", "tag-before", "tag-after"]) $(id).hidden = true;
    canvas.hidden = false;
  }
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

function finish(video) {
  const player = $("film-video");
  player.src = path(`videos/${video}.mp4?inline=1`);
  player.setAttribute("aria-label", "The video");
  player.hidden = false;
  $("film-canvas").hidden = true;
  $("back").hidden = false;
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.play().catch(() => {});
  for (const kind of ["mp4", "gif"]) {
    $(`get-${kind}`).href = path(`videos/${video}.${kind}`);
    $(`get-${kind}`).removeAttribute("aria-disabled");
  }
  say("The video is drawn. It can be downloaded.");
}

function stop() {
  if (!film) return;
  film.abort();
  film = null;
  setBusy(false);
  ask("videos/cancel").catch(() => {});
}

function cancel() {
  stop();
  showStill();
  say("Cancelled.");
  $("draw").focus();
}

function setBusy(isBusy) {
  $("film-busy").hidden = $("cancel").hidden = !isBusy;
  $("draw").disabled = isBusy || !moves();
  if (!isBusy) return;
  $("film-progress").value = 0;
  $("film-text").textContent = "The first frame comes …";
  for (const kind of ["mp4", "gif"]) {
    $(`get-${kind}`).removeAttribute("href");
    $(`get-${kind}`).setAttribute("aria-disabled", "true");
  }
}

function sheet() {
  const colors = (garment) => (garmentIds().includes(garment) && tried[garment].size ? ["keep", ...tried[garment]].slice(0, 12) : []);
  return { ...asked(garmentIds()), frames: null, upper_colors: colors("upper"), lower_colors: colors("lower") };
}

async function fetchFile(button, what, body) {
  button.disabled = true;
  try {
    await download(what, body);
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
  }
}

async function copy(id) {
  try {
    await navigator.clipboard.writeText($(id).textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren($(id));
  }
}
