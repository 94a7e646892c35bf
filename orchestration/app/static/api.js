// What the page asks its server for. A session is begun when the page is loaded and ended when it is closed.

const STAY_ALIVE = 4 * 60 * 1000;
let session = "";

/** An answer that says, for people, what is wrong. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function begin() {
  const facts = await read(await fetch("api/sessions", { method: "POST" }));
  session = facts.session;
  setInterval(() => fetch(path("alive"), { method: "POST" }).catch(() => {}), STAY_ALIVE);
  addEventListener("pagehide", (event) => {
    if (!event.persisted) navigator.sendBeacon(path("end"));
  });
  return facts;
}

/** Ask for something of this session; the answer is JSON. */
export async function ask(what, body, signal) {
  return read(await request(what, body, signal));
}

/** Ask for a file of this session, and give it to the person. */
export async function download(what, body) {
  const answer = await request(what, body);
  if (!answer.ok) await read(answer);
  const name = decodeURIComponent((answer.headers.get("content-disposition") || "").split("''")[1] || "posegen.png");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Send a file; `onShare` is told how much of it has been sent, 0 to 1. */
export function upload(what, file, name, onShare = () => {}) {
  return new Promise((resolve, reject) => {
    const sender = new XMLHttpRequest();
    sender.open("POST", `${path(what)}?name=${encodeURIComponent(name)}`);
    sender.setRequestHeader("content-type", "application/octet-stream");
    sender.upload.onprogress = (event) => onShare(event.loaded / event.total);
    sender.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(sender.responseText);
      } catch {
        // the status tells
      }
      if (sender.status === 200) resolve(answer);
      else reject(new Refused(answer.error || "The file could not be taken.", sender.status));
    };
    sender.onerror = () => reject(new Refused("The file could not be sent. Is posegen still running?", 0));
    sender.send(file);
  });
}

/** Yield the records of a video while it is drawn: {kind, content}. */
export async function* watch(video, signal) {
  const answer = await fetch(path(`videos/${video}/frames`), { signal });
  if (!answer.ok) await read(answer);
  const reader = answer.body.getReader();
  let rest = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest = joined(rest, value);
    while (rest.length >= 5) {
      const size = new DataView(rest.buffer, rest.byteOffset).getUint32(1);
      if (rest.length < 5 + size) break;
      yield { kind: String.fromCharCode(rest[0]), content: rest.slice(5, 5 + size) };
      rest = rest.subarray(5 + size);
    }
  }
}

export const path = (what) => `api/sessions/${session}/${what}`;

async function request(what, body, signal) {
  try {
    return await fetch(path(what), {
      method: "POST",
      headers: body ? { "content-type": "application/json" } : {},
      body: body ? JSON.stringify(body) : undefined,
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("posegen does not answer. Is it still running?", 0);
  }
}

async function read(answer) {
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(content.error || "Something went wrong.", answer.status);
  return content;
}

function joined(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
