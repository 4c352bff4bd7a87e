// Runs `page.js` in a headless Chromium:
//
//     node browser/run.mjs chromium
//
// Serves the page and the package's ES modules from two origins. The server must allow the one with the port PAGE_PORT
// (SIGPERSIST_HTTP_CORS_ORIGINS=http://127.0.0.1:$PAGE_PORT) and not the other. SIGPERSIST_URL, SIGPERSIST_KEY_ID and
// SIGPERSIST_SECRET name the server and a key of its tenant, SLOW_KEY_ID and SLOW_SECRET a key of one that may make one request
// a second.

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TIMEOUT_MS = 60_000;
const TYPES = { html: "text/html", js: "text/javascript" };
const folder = new URL("..", import.meta.url);
const { SIGPERSIST_URL: url, SIGPERSIST_KEY_ID: keyId, SIGPERSIST_SECRET: secret } = process.env;
const { SLOW_KEY_ID: slowKeyId, SLOW_SECRET: slowSecret, PAGE_PORT: pagePort } = process.env;
const [chromium = "chromium"] = process.argv.slice(2);

let tell;
const told = new Promise((resolve) => (tell = resolve));
const servers = await Promise.all([listen(Number(pagePort)), listen(0)]);
const [page, stranger] = servers.map((server) => `http://127.0.0.1:${server.address().port}`);
const slowKey = { keyId: slowKeyId, secret: slowSecret };
const given = { url, stranger, key: { keyId, secret }, slowKey, webhook: call() };
const profile = await mkdtemp(join(tmpdir(), "sigpersist-browser-"));
// Chromium's sandbox does not work as root, as in containers of CI.
const options = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    `--user-data-dir=${profile}`,
];
const browser = spawn(chromium, [...options, `${page}/page.html`], {
    stdio: ["ignore", "ignore", "pipe"],
});
let log = "";
browser.stderr.on("data", (text) => (log += text));
browser.on("error", (error) => tell(`Chromium could not be started: ${error.message}`));
const timer = setTimeout(() => tell(`The page did not report within ${TIMEOUT_MS / 1000} seconds.`), TIMEOUT_MS);

const results = await told;
clearTimeout(timer);
const ended = browser.exitCode === null ? new Promise((resolve) => browser.once("close", resolve)) : undefined;
browser.kill();
await ended;
for (const server of servers) {
    server.closeAllConnections();
    server.close();
}
await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

if (typeof results === "string") {
    console.error(`${results}\n${log}`);
    process.exitCode = 1;
} else {
    for (const { name, error } of results)
        console.log(`${error === null ? "ok" : "FAILED"}: in Chromium, it ${name}`, error ?? "");
    if (results.length === 0 || results.some(({ error }) => error !== null)) process.exitCode = 1;
}

async function listen(port) {
    const server = createServer((request, response) => {
        serve(request, response).catch((error) => {
            response.writeHead(404).end(String(error));
        });
    });
    await new Promise((resolve, reject) => server.on("error", reject).listen(port, "127.0.0.1", resolve));
    return server;
}

async function serve(request, response) {
    const { pathname } = new URL(request.url, "http://page");
    if (pathname === "/given") return response.end(JSON.stringify(given));
    if (pathname === "/results") {
        let body = "";
        for await (const chunk of request.setEncoding("utf8")) body += chunk;
        response.end();
        return tell(JSON.parse(body));
    }
    const path = pathname.startsWith("/dist/") ? `.${pathname}` : `./browser${pathname}`;
    const file = await readFile(new URL(path, folder));
    return response.writeHead(200, { "content-type": TYPES[pathname.split(".").at(-1)] ?? "text/plain" }).end(file);
}

/** A call of a webhook, as the server makes them. */
function call() {
    const key = Buffer.from("the secret of a webhook");
    const body = JSON.stringify({ type: "version.saved", timestamp: "2026-11-30T12:00:00Z", data: { number: 3 } });
    const time = String(Math.floor(Date.now() / 1000));
    const mac = createHmac("sha256", key).update(`t-3.${time}.${body}`).digest("base64");
    const headers = { "webhook-id": "t-3", "webhook-timestamp": time, "webhook-signature": `v1,${mac}` };
    return { secret: `whsec_${key.toString("base64")}`, headers, body };
}
