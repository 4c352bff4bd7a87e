// Runs in the browser beside the page of docs/browser: presses its button as people would, and tells `sign.mjs` what they read.

const frame = document.querySelector("#page");

const step = async (name, body) =>
  (await fetch(`/test/${name}`, { method: "POST", body: JSON.stringify(body) })).json();

/** Opens the page anew, as the next person does, and presses the button. */
async function visit() {
  await new Promise((resolve) => {
    frame.onload = resolve;
    frame.src = "/";
  });
  const { contentDocument: page } = frame;
  const [button, status] = ["#sign", "#status"].map((name) => page.querySelector(name));
  const idle = () =>
    new Promise((resolve) => {
      const timer = setInterval(() => {
        if (!button.disabled || status.textContent.includes("rror")) resolve(clearInterval(timer));
      }, 20);
    });
  await idle();
  button.click();
  await idle();
  return status.textContent;
}

/** Sends a request of the API with the token of the page. */
async function ask(path, body) {
  const { url } = await (await fetch("/task")).json();
  const headers = { authorization: `Bearer ${await (await fetch("/token")).text()}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(url + path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body && JSON.stringify(body),
  });
  return (await answer.json()).code ?? answer.status;
}

for (let visitor = await step("next"); visitor !== null;) {
  const result = visitor.asks ? await Promise.all(visitor.asks.map((one) => ask(...one))) : await visit();
  visitor = await step("next", { result });
}
