// Says whether what is shown is current, and since when it is not.

import { setAttribute, setText, show } from "./dom.js";
import { formatClock } from "./format.js";

const WORDS = { live: "Live", polling: "Every 5 s", lost: "No contact" };

export class Contact {
  constructor(place, troublePlace) {
    this.place = place;
    this.troublePlace = troublePlace;
    this.mode = "polling";
    this.heardAt = null;
    // what was asked for and could not be had
    this.troubles = new Map();
  }

  setMode(mode) {
    this.mode = mode;
    this.draw();
  }

  noteAnswer(question) {
    this.heardAt = Date.now();
    this.troubles.delete(question);
    this.draw();
  }

  // The time is that of the first failure: a text that stays the same is not read out again at every try.
  noteTrouble(question, { message, status }) {
    const known = this.troubles.get(question);
    const since = this.heardAt ? ` What you see is as of ${formatClock(this.heardAt)}.` : "";
    if (known?.message !== message) this.troubles.set(question, { message, isAway: status === 0, text: `${message}${since}` });
    this.draw();
  }

  forget() {
    this.troubles.clear();
    this.draw();
  }

  draw() {
    const [trouble] = this.troubles.values();
    const mode = trouble?.isAway ? "lost" : this.mode;
    setAttribute(this.place, "data-mode", mode);
    setText(this.place, WORDS[mode]);
    setText(this.troublePlace, trouble?.text ?? "");
    show(this.troublePlace, Boolean(trouble));
  }
}
