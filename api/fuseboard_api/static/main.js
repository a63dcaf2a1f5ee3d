// The page: a form to log in with, or the board.

import { get, post } from "./api.js";
import { Board } from "./board.js";
import { setText, show } from "./dom.js";

const find = (id) => document.getElementById(id);
const board = new Board({ onSessionOver: () => openLogin("Your session is over. Log in again.") });

async function begin() {
  try {
    openBoard(await get("/session"));
  } catch (error) {
    openLogin(error.status === 401 ? "" : error.message);
  }
}

function openLogin(message) {
  board.stop();
  document.title = "Fuseboard";
  document.querySelector("dialog")?.close();
  show(find("board"), false);
  show(find("login"), true);
  setText(find("login-wrong"), message);
  find("token").focus();
}

function openBoard(session) {
  show(find("login"), false);
  show(find("board"), true);
  setText(find("who"), `${session.name}, ${session.scope}`);
  board.breakers.setMayOrder(session.scope === "admin");
  // one that was opened in the background waits until somebody looks
  if (!document.hidden) board.start();
}

async function logIn(event) {
  event.preventDefault();
  const token = find("token");
  setText(find("login-wrong"), "");
  try {
    const session = await post("/login", { token: token.value.trim() });
    token.value = "";
    openBoard(session);
  } catch (error) {
    const wait = error.retryAfterSeconds ? ` Try again in ${error.retryAfterSeconds} s.` : "";
    setText(find("login-wrong"), `${error.message.replace(/\.$/, "")}.${wait}`);
    token.select();
  }
}

async function logOut() {
  try {
    await post("/logout");
    openLogin("You are logged out.");
  } catch (error) {
    board.contact.noteTrouble("/logout", error);
  }
}

find("login-form").addEventListener("submit", logIn);
find("logout").addEventListener("click", logOut);
document.addEventListener("visibilitychange", () => {
  if (find("board").hidden) return;
  if (document.hidden) board.stop();
  else board.start();
});
begin();
