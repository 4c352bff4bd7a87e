// Stands in for NCALayer: its protocol, with keys of people who do not exist instead of a dialog. OpenSSL signs.
//
// As the real one does, it greets with its version, takes data in base64 only, gives PEM from `basics` and base64 from
// `commonUtils`, adds a signer to data that are a CMS, and answers without a result if the person closes the dialog.

import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import { join } from "node:path";
import { promisify } from "node:util";
import { WebSocketServer } from "ws";

const run = promisify(execFile);
const BASICS = "kz.gov.pki.knca.basics";
const COMMON = "kz.gov.pki.knca.commonUtils";
const HEARTBEAT = "--heartbeat--";
/** SignedData (RFC 5652 section 5.1), in DER. */
const SIGNED_DATA = Buffer.from("06092a864886f70d010702", "hex");

export class FakeNcaLayer {
    /** Requests so far. */
    requests = [];
    /** The dialog: the name of the person who signs, or null to close it. It may take its time. */
    dialog = () => null;
    #folder;
    #server;

    /** Starts on a free port, with TLS as the real one. Its keys are in the folder. */
    static async start(folder) {
        const layer = new FakeNcaLayer();
        layer.#folder = folder;
        const [key, cert] = await layer.#newKey("server", "/CN=127.0.0.1", ["-newkey", "rsa:2048"]);
        layer.#server = createServer({ key: await readFile(key), cert: await readFile(cert) });
        new WebSocketServer({ server: layer.#server }).on("connection", (socket) => {
            socket.send(JSON.stringify({ result: { version: "1.4" } }));
            socket.on("message", (message) => {
                const text = message.toString();
                if (text === HEARTBEAT) return socket.send(HEARTBEAT);
                layer.#answer(JSON.parse(text)).then((answer) => socket.send(JSON.stringify(answer)));
            });
        });
        await new Promise((resolve) => layer.#server.listen(0, "127.0.0.1", resolve));
        layer.url = `wss://127.0.0.1:${layer.#server.address().port}/`;
        return layer;
    }

    /** Makes a key for a person. */
    async addPerson(name, subject) {
        await this.#newKey(name, subject, ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    }

    /** Signs data, or adds a signature to a CMS, and gives the CMS in DER. */
    async sign(person, data) {
        const [from, to] = [randomUUID(), randomUUID()].map((name) => join(this.#folder, name));
        await writeFile(from, data);
        const isSigned = data.subarray(0, 30).includes(SIGNED_DATA);
        const how = isSigned ? ["-resign", "-inform", "DER"] : ["-sign", "-nodetach"];
        const [key, cert] = this.#files(person);
        const keys = ["-signer", cert, "-inkey", key, "-md", "sha256"];
        await run("openssl", ["cms", ...how, "-binary", "-in", from, ...keys, "-outform", "DER", "-out", to]);
        return readFile(to);
    }

    stop() {
        this.#server.closeAllConnections();
        this.#server.close();
    }

    async #answer(request) {
        this.requests.push(request);
        const { module, method, args } = request;
        if (module === BASICS && method === "sign") return this.#basics(args);
        if (module === COMMON && method === "getActiveTokens") return common(["PKCS12"]);
        const isCms = ["createCMSSignatureFromBase64", "createCAdESFromBase64"].includes(method);
        if (module === COMMON && isCms) {
            const person = await this.dialog();
            if (person === null) return { code: "500", message: "action.canceled" };
            return common((await this.sign(person, Buffer.from(args[2], "base64"))).toString("base64"));
        }
        return { success: false, errorCode: "MODULE_NOT_FOUND" };
    }

    async #basics({ format, data, signingParams }) {
        const wrong = /[^A-Za-z0-9+/=]/.exec(data);
        if (format !== "cms" || !signingParams.decode || wrong) {
            const details = `Illegal base64 character ${wrong?.[0].charCodeAt(0).toString(16)}`;
            return { status: false, code: "SIGNING_FAILURE", message: "Signing has failed.", details };
        }
        const person = await this.dialog();
        if (person === null) return { status: true, body: {} };
        const base64 = (await this.sign(person, Buffer.from(data, "base64"))).toString("base64");
        const lines = base64.replace(/.{64}(?=.)/g, "$&\n");
        return { status: true, body: { result: [`-----BEGIN CMS-----\n${lines}\n-----END CMS-----\n`] } };
    }

    #files(name) {
        return [join(this.#folder, `${name}.key`), join(this.#folder, `${name}.pem`)];
    }

    async #newKey(name, subject, kind) {
        const files = this.#files(name);
        const out = ["-keyout", files[0], "-out", files[1], "-days", "30", "-utf8", "-subj", subject];
        await run("openssl", ["req", "-x509", "-nodes", ...kind, ...out]);
        return files;
    }
}

function common(responseObject) {
    return { code: "200", message: "", responseObject };
}
