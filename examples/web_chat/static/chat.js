// The page keeps the conversation. Each answer is one response, whose lines are events; closing the
// response stops the answer, and so does closing the tab.

import { render } from "./markdown.js";

const [messages, form, question, image, send, stop] =
  ["messages", "form", "question", "image", "send", "stop"].map((id) => document.getElementById(id));
let turns = [];

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (send.disabled) return;
  setBusy(true);
  try {
    const turn = { role: "user", text: question.value, image: await readImage() };
    form.reset();
    show(turn);
    await ask(turn);
  } finally {
    setBusy(false);
  }
});

question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

/** Ask a question, and show the answer while it comes. A question without an answer is forgotten. */
async function ask(turn) {
  const controller = new AbortController();
  const view = new AnswerView();
  stop.onclick = () => controller.abort();
  try {
    for await (const event of readEvents([...turns, turn], controller.signal)) view.add(event);
  } catch (error) {
    view.add(controller.signal.aborted
      ? { kind: "note", text: "stopped" }
      : { kind: "error", text: error.message });
  }
  if (view.text) turns = [...turns, turn, { role: "assistant", text: view.text }];
}

/** Yield the events of an answer; leaving the loop closes the response. */
async function* readEvents(conversation, signal) {
  const response = await fetch("/chat", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ turns: conversation }),
    signal,
  });
  if (!response.ok) throw new Error(`The server answered ${response.status}: ${await response.text()}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    yield* lines.map((line) => JSON.parse(line));
  }
}

/** The elements of an answer: the reasoning, the text, and a line about the prediction. */
class AnswerView {
  text = "";

  constructor() {
    this.thinking = document.createElement("details");
    this.thinking.className = "thinking";
    this.thinking.hidden = true;
    this.thinking.innerHTML = "<summary>Thinking</summary><p></p>";
    this.answer = document.createElement("div");
    this.answer.className = "answer";
    this.note = document.createElement("p");
    this.note.className = "note";
    messages.append(this.thinking, this.answer, this.note);
  }

  add({ kind, text }) {
    if (kind === "thinking") {
      this.thinking.hidden = false;
      this.thinking.open = true;
      this.thinking.lastElementChild.append(text);
    } else if (kind === "text") {
      if (!this.text) this.thinking.open = false;
      this.text += text;
      this.answer.replaceChildren(render(this.text));
      this.note.textContent = "";
    } else {
      this.note.textContent = kind === "finished" && text === "stop" ? "" : text;
      this.note.classList.toggle("error", kind === "error");
    }
    messages.scrollTop = messages.scrollHeight;
  }
}

function show(turn) {
  const message = document.createElement("div");
  message.className = "user";
  if (turn.image) message.append(Object.assign(new Image(), { src: turn.image, alt: "" }));
  message.append(turn.text);
  messages.append(message);
}

function setBusy(isBusy) {
  send.disabled = send.hidden = isBusy;
  stop.hidden = !isBusy;
}

/** Return the chosen image as a `data:` URL, or null. */
function readImage() {
  const [file] = image.files;
  if (!file) return null;
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
