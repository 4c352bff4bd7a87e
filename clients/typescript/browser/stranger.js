// Runs in a frame of `page.html` on another origin, with a token that is good, and tells that page what became of its requests.

import { Sigpersist } from "sigpersist";
import { tokensOf } from "sigpersist/tokens";

const { url, key } = await (await fetch("/given")).json();
const sigpersist = new Sigpersist({ url, token: tokensOf(key), attempts: 1 });
const thread = { document: new URLSearchParams(location.search).get("document"), thread: "approval" };
const calls = [sigpersist.whoami(), sigpersist.save({ ...thread, version: 0, cms: "of a stranger" })];
const problems = (await Promise.allSettled(calls)).map(({ reason }) => reason?.problem);
// Without a token browsers do not ask first, and still give no answer.
const plain = await fetch(`${url}/whoami`).then(
  () => "an answer",
  ({ name }) => name,
);
parent.postMessage({ origin: location.origin, problems, plain }, "*");
