// The application of the example: serves the page, says what is to be signed, and signs tokens that are for this document only.
// It needs Node 20 and no packages, but the client for TypeScript must be built:
//
//     (cd clients/typescript && npm ci && npm run build)
//     SIGPERSIST_URL=http://127.0.0.1:8080 SIGPERSIST_KEY_ID=… SIGPERSIST_SECRET=… node docs/browser/serve.mjs
//
// A real application would first ask who the person is, and whether that person may sign this document.

import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const FILES = { "/": "index.html", "/page.js": "page.js", "/ncalayer.js": "ncalayer.js" };
const TYPES = { html: "text/html", js: "text/javascript" };

/** The application. `library` is the folder with the ES modules of the package `sigpersist`. */
export function application({ url, keyId, secret, thread, content, ncaLayer, library }) {
    const task = JSON.stringify({ url, thread, content, ncaLayer });
    return createServer(async (request, response) => {
        const { pathname } = new URL(request.url, "http://page");
        try {
            if (pathname === "/task") return send(response, "application/json", task);
            if (pathname === "/token") return send(response, "text/plain", token({ keyId, secret, ...thread }));
            const module = /^\/sigpersist\/([a-z-]+\.js)$/.exec(pathname)?.[1];
            const file = module === undefined ? new URL(FILES[pathname], import.meta.url) : new URL(module, library);
            return send(response, TYPES[file.pathname.split(".").at(-1)], await readFile(file));
        } catch {
            return response.writeHead(404).end();
        }
    });
}

function send(response, type, body) {
    response.writeHead(200, { "content-type": type, "cache-control": "no-store" }).end(body);
}

/** A token that reads and saves signatures of one thread of one document, for five minutes. */
function token({ keyId, secret, document, thread }) {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
        scope: "signatures:read signatures:write",
        sigpersist_document: document,
        sigpersist_thread: thread,
        iat: now,
        exp: now + 300,
    };
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${part({ alg: "HS256", typ: "JWT", kid: keyId })}.${part(claims)}`;
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const {
        SIGPERSIST_URL = "http://127.0.0.1:8080",
        SIGPERSIST_KEY_ID,
        SIGPERSIST_SECRET,
        PORT = "3000",
    } = process.env;
    if (!SIGPERSIST_KEY_ID || !SIGPERSIST_SECRET)
        throw new Error("SIGPERSIST_KEY_ID and SIGPERSIST_SECRET must be set.");
    const server = application({
        url: SIGPERSIST_URL,
        keyId: SIGPERSIST_KEY_ID,
        secret: SIGPERSIST_SECRET,
        thread: { document: "contract-12", thread: "approval" },
        content: "A contract between two people who do not exist.\n",
        library: new URL("../../clients/typescript/dist/esm/", import.meta.url),
    });
    server.listen(Number(PORT), "127.0.0.1", () => console.log(`Open http://127.0.0.1:${PORT}/`));
}
