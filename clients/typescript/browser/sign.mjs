// Runs the page of docs/browser in a headless Chromium, with a stand-in for NCALayer:
//
//     node browser/sign.mjs chromium docs/browser
//
// SIGPERSIST_URL, SIGPERSIST_KEY_ID and SIGPERSIST_SECRET name the server and a key of its tenant, whose policy has the origin
// http://127.0.0.1:$SIGN_PORT.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { FakeNcaLayer } from "./ncalayer.mjs";
import { Sigpersist } from "../dist/esm/index.js";
import { tokensOf } from "../dist/esm/tokens.js";

const TIMEOUT_MS = 60_000;
const [chromium = "chromium", example = "../../docs/browser"] = process.argv.slice(2);
const { application } = await import(pathToFileURL(join(resolve(example), "serve.mjs")));
const { SIGPERSIST_URL: url, SIGPERSIST_KEY_ID: keyId, SIGPERSIST_SECRET: secret, SIGN_PORT: port } = process.env;

const folder = await mkdtemp(join(tmpdir(), "sigpersist-sign-"));
const layer = await FakeNcaLayer.start(folder);
for (const [name, number] of [
    ["aigerim", 1],
    ["daulet", 2],
    ["marat", 3],
    ["saule", 4],
])
    await layer.addPerson(name, `/CN=${name.toUpperCase()}/serialNumber=IIN12345678901${number}`);

const sigpersist = new Sigpersist({ url, token: tokensOf({ keyId, secret }) });
const thread = { document: `contract-${randomUUID()}`, thread: "approval" };
const content = "A contract between two people who do not exist: АХМЕТОВА and ДӘУЛЕТ.\n";

/** The people who signed the current version, all of whom signed the document itself. */
async function signers() {
    const { signature, inspection } = await sigpersist.verify(thread);
    assert(inspection.signers.every(({ verdict }) => verdict.intact));
    const names = inspection.signers.map(({ certificate }) => certificate.subject.rfc4514.match(/CN=(\w+)/)[1]);
    return [signature.version, ...names.sort()];
}

/** Another program signs the current version at the same time. */
async function faster(person) {
    const previous = await sigpersist.get(thread).catch(() => undefined);
    const data = previous === undefined ? Buffer.from(content) : Buffer.from(previous.signature, "base64");
    const cms = (await layer.sign(person, data)).toString("base64");
    await sigpersist.save({ ...thread, version: previous?.version ?? 0, cms });
}

/** What one person does on the page, what is read there, and what is true afterwards. */
const visits = [
    {
        name: "tells a person who closes NCALayer's dialog, and saves nothing",
        visit: () => (layer.dialog = () => null),
        async check(status) {
            assert.equal(status, "You closed NCALayer's dialog.");
            await assert.rejects(sigpersist.get(thread), { code: "signature_not_found" });
        },
    },
    {
        name: "saves the first signature",
        visit: () => (layer.dialog = () => "aigerim"),
        async check(status) {
            assert.equal(status, "Signed. This is version 1.");
            assert.deepEqual(await signers(), [1, "AIGERIM"]);
            const { module, method, args } = layer.requests.at(-1);
            assert.deepEqual([module, method, args.format], ["kz.gov.pki.knca.basics", "sign", "cms"]);
            assert.equal(Buffer.from(args.data, "base64").toString(), content);
        },
    },
    {
        name: "countersigns on the next visit",
        visit: () => (layer.dialog = () => "daulet"),
        async check(status) {
            assert.equal(status, "Signed. This is version 2.");
            assert.deepEqual(await signers(), [2, "AIGERIM", "DAULET"]);
        },
    },
    {
        name: "asks again if somebody else was faster",
        visit() {
            let asked = 0;
            layer.dialog = async () => {
                if (asked++ === 0) await faster("marat");
                return "saule";
            };
        },
        async check(status) {
            assert.equal(status, "Signed. This is version 4.");
            assert.deepEqual(await signers(), [4, "AIGERIM", "DAULET", "MARAT", "SAULE"]);
            await sigpersist.delete(thread);
        },
    },
    {
        name: "signs over the first version if somebody else was the first meanwhile",
        visit() {
            let asked = 0;
            layer.dialog = async () => {
                if (asked++ === 0) await faster("marat");
                return "aigerim";
            };
        },
        async check(status) {
            assert.equal(status, "Signed. This is version 2.");
            assert.deepEqual(await signers(), [2, "AIGERIM", "MARAT"]);
        },
    },
    {
        name: "says that NCALayer is missing",
        visit: () => layer.stop(),
        check: async (status) => assert.equal(status, "NCALayer does not answer: is it installed and running?"),
    },
    {
        name: "has a token for this document and no other",
        asks: [
            [`/signature?document=${thread.document}&thread=${thread.thread}`],
            [`/signature?document=other&thread=${thread.thread}`],
            [`/signature?document=${thread.document}&thread=other`],
            ["/signature", { document: "other", thread: "t", cms: "x" }],
            ["/events"],
            ["/policy"],
        ],
        async check(codes) {
            const refused = ["token_bound", "token_bound", "token_bound"];
            assert.deepEqual(codes, [200, ...refused, "insufficient_scope", "insufficient_scope"]);
        },
    },
];

const app = application({
    url,
    keyId,
    secret,
    thread,
    content,
    ncaLayer: layer.url,
    library: new URL("../dist/esm/", import.meta.url),
});
let finish;
const finished = new Promise((resolve) => (finish = resolve));
let current;
const server = createServer((request, response) => {
    if (!request.url.startsWith("/test/")) return app.emit("request", request, response);
    test(request, response).catch((error) => response.writeHead(500).end(finish(error)));
});
await new Promise((resolve, reject) => server.on("error", reject).listen(Number(port), "127.0.0.1", resolve));

async function test(request, response) {
    if (request.method === "GET") {
        const file = request.url.slice("/test/".length);
        if (!["sign.html", "sign.js"].includes(file)) return response.writeHead(404).end();
        const type = file.endsWith("js") ? "text/javascript" : "text/html";
        return response.writeHead(200, { "content-type": type }).end(await readFile(new URL(file, import.meta.url)));
    }
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    if (current !== undefined) {
        const { result } = JSON.parse(body);
        await current.check(result);
        console.log(`ok: in Chromium, the page ${current.name}`);
    }
    current = visits.shift();
    current?.visit?.();
    response.end(JSON.stringify(current === undefined ? null : { asks: current.asks }));
    if (current === undefined) finish();
}

// Chromium's sandbox does not work as root, as in containers of CI. People trust the certificate of their own NCALayer.
const options = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--ignore-certificate-errors",
];
const profile = join(folder, "profile");
const page = `http://127.0.0.1:${port}/test/sign.html`;
const browser = spawn(chromium, [...options, `--user-data-dir=${profile}`, page], {
    stdio: ["ignore", "ignore", "pipe"],
});
let log = "";
browser.stderr.on("data", (text) => (log += text));
browser.on("error", finish);
const timer = setTimeout(
    () => finish(new Error(`The page did not report within ${TIMEOUT_MS / 1000} seconds.`)),
    TIMEOUT_MS,
);
const failure = await finished;
clearTimeout(timer);
const ended = browser.exitCode === null ? new Promise((resolve) => browser.once("close", resolve)) : undefined;
browser.kill();
await ended;
layer.stop();
server.closeAllConnections();
server.close();
await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
if (failure) {
    console.error(`FAILED: the page ${current?.name}\n`, failure, `\n${log}`);
    process.exitCode = 1;
}
