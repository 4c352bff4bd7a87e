// Searches the book's index in the browser: a section is found if it has all words, or words that begin with them.
"use strict";

const field = document.getElementById("search");
const found = document.getElementById("found");
const article = document.querySelector("article");
const root = new URL(".", document.currentScript.src);
const MOST = 25;
let index = null;

/** The index, which is loaded once. */
function sections() {
  index ??= fetch(new URL("searchindex.json", root)).then((answer) => {
    if (!answer.ok) throw new Error(`The index can't be loaded: ${answer.status}.`);
    return answer.json();
  });
  index.catch(() => { index = null; });
  return index;
}

/** A pattern that finds the word at the beginning of a word. */
function beginning(word) {
  return new RegExp(`(?<![\\p{L}\\p{N}])${word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}`, "giu");
}

/** How well the section answers the search; 0 if a word is missing. */
function score(section, patterns) {
  let sum = 0;
  for (const pattern of patterns) {
    const count = (text) => (text.match(pattern) ?? []).length;
    const found = 20 * count(section.title) + 8 * count(section.page) + Math.min(count(section.text), 5);
    if (found === 0) return 0;
    sum += found;
  }
  return sum;
}

/** A paragraph with the text around the first word that was found, and all of them marked. */
function teaser(section, patterns) {
  const places = patterns.map((pattern) => section.text.search(pattern)).filter((place) => place >= 0);
  const start = Math.max(0, Math.min(...places, section.text.length) - 60);
  const from = start === 0 ? 0 : section.text.indexOf(" ", start) + 1;
  const text = section.text.slice(from, from + 220);
  const paragraph = document.createElement("p");
  const all = new RegExp(patterns.map((pattern) => pattern.source).join("|"), "giu");
  let end = 0;
  for (const match of text.matchAll(all)) {
    const mark = document.createElement("mark");
    mark.textContent = match[0];
    paragraph.append(text.slice(end, match.index), mark);
    end = match.index + match[0].length;
  }
  paragraph.append(text.slice(end));
  return paragraph;
}

/** Shows what is found instead of the page, and the page if nothing is searched. */
async function search() {
  const wanted = field.value;
  const words = wanted.trim().split(/\s+/).filter((word) => word.length > 1);
  if (words.length === 0) {
    found.hidden = true;
    article.hidden = false;
    return;
  }
  const patterns = words.map(beginning);
  let hits = [];
  let said = "";
  try {
    const all = (await sections()).map((section) => ({ section, score: score(section, patterns) }));
    hits = all.filter((hit) => hit.score > 0).sort((a, b) => b.score - a.score);
    said = hits.length === 1 ? "1 section" : `${hits.length} sections`;
  } catch (error) {
    said = error.message;
  }
  if (field.value !== wanted) return; // somebody typed on
  const list = document.createElement("ol");
  for (const { section } of hits.slice(0, MOST)) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = new URL(section.address, root);
    link.textContent = section.title === section.page ? section.page : `${section.page}: ${section.title}`;
    link.addEventListener("click", () => { field.value = ""; search(); });
    item.append(link, teaser(section, patterns));
    list.append(item);
  }
  const summary = document.createElement("p");
  summary.textContent = said;
  found.replaceChildren(summary, list);
  found.hidden = false;
  article.hidden = true;
}

field.addEventListener("input", search);
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea");
  if ((event.key === "s" || event.key === "/") && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    field.focus();
  } else if (event.key === "Escape" && typing) {
    field.value = "";
    search();
  }
});
