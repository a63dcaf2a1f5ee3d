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
    this.trouble = "";
  }

  setMode(mode) {
    this.mode = mode;
    this.draw();
  }

  noteAnswer() {
    this.heardAt = Date.now();
    this.trouble = "";
    this.draw();
  }

  noteTrouble(message) {
    this.trouble = message;
    this.draw();
  }

  draw() {
    const mode = this.trouble ? "lost" : this.mode;
    setAttribute(this.place, "data-mode", mode);
    setText(this.place, WORDS[mode]);
    const since = this.heardAt ? ` What you see is as of ${formatClock(this.heardAt)}.` : "";
    setText(this.troublePlace, this.trouble ? `${this.trouble}${since}` : "");
    show(this.troublePlace, this.trouble !== "");
  }
}
