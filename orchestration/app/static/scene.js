// What is chosen on the page, and who is told when it changes.

export const scene = {
  actions: [],
  model: "",
  fps: 25, // of the model's motions
  motion: "",
  driving: "",
  seconds: 4,
  yaw: null,
  colors: { upper: "", lower: "" },
  fades: { upper: "", lower: "" },
  size: "384x256",
  travel: "fit",
  seed: 0,
  moment: 0.35,
};
export const tried = { upper: new Set(), lower: new Set() };
const listeners = new Map();

export function on(event, listener) {
  listeners.set(event, [...(listeners.get(event) || []), listener]);
}

export function tell(event, detail) {
  for (const listener of listeners.get(event) || []) listener(detail);
}

/** The scene as the server reads it. */
export function asked(garments) {
  const worn = new Set(garments);
  const color = (kind, garment) => (worn.has(garment) ? scene[kind][garment] : "");
  const fade = (garment) => (color("colors", garment) ? color("fades", garment) : "");
  return {
    actions: scene.motion || scene.driving ? [] : scene.actions,
    model: scene.model,
    motion: scene.motion,
    driving: scene.driving,
    frames: scene.actions.length && !scene.motion && !scene.driving ? Math.round(scene.seconds * scene.fps) : null,
    yaw: scene.yaw,
    upper: color("colors", "upper"),
    lower: color("colors", "lower"),
    upper_to: fade("upper"),
    lower_to: fade("lower"),
    size: scene.size,
    travel: scene.travel,
    seed: scene.seed,
    moment: scene.moment,
  };
}

export const moves = () => Boolean(scene.actions.length || scene.motion || scene.driving);
