// An identity provider, an application that gets tokens of it by client credentials (RFC 6749 section 4.4, RFC 9068), and the server that
// they are for.
import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import https from "node:https";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Provider } from "oidc-provider";

const [program, work] = process.argv.slice(2);
const AUDIENCE = "https://sigpersist.example";
const SECRET = "an application's secret, which it keeps";
const ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"];

function key(algorithm, kid) {
  const { privateKey } = {
    RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
    PS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
    ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
    EdDSA: () => generateKeyPairSync("ed25519"),
  }[algorithm]();
  return { ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: algorithm };
}

function provider(issuer, round) {
  return new Provider(issuer, {
    clients: [
      {
        client_id: "crm",
        client_secret: SECRET,
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    jwks: { keys: ALGORITHMS.map((algorithm) => key(algorithm, `${algorithm}-${round}`)) },
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        // The path of the resource says how the token is to be.
        getResourceServerInfo: (_context, resource) => {
          const [, audience, algorithm] = new URL(resource).pathname.split("/");
          return {
            scope: "signatures:read signatures:write",
            audience: audience === "ours" ? AUDIENCE : "https://elsewhere.example",
            accessTokenTTL: 300,
            accessTokenFormat: algorithm === "opaque" ? "opaque" : "jwt",
            jwt: { sign: { alg: algorithm } },
          };
        },
      },
    },
    extraTokenClaims: () => ({ realm_access: { roles: ["archivist"] } }),
  });
}

const tls = { key: readFileSync(`${work}/key.pem`), cert: readFileSync(`${work}/certificate.pem`) };
let answer;
const listener = https.createServer(tls, (request, response) => answer(request, response));
listener.listen(0, "127.0.0.1");
await once(listener, "listening");
const host = `127.0.0.1:${listener.address().port}`;
const issuer = `https://${host}`;
// It warns about settings for production.
console.warn = console.info = () => {};
answer = provider(issuer, 1).callback();

async function token(path, scope = "signatures:read signatures:write") {
  const response = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`crm:${encodeURIComponent(SECRET)}`)}` },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      resource: `https://resources.example/${path}`,
      scope,
    }),
  });
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body.access_token;
}

const environment = {
  ...process.env,
  SIGPERSIST_DATA_DIR: `${work}/data`,
  SIGPERSIST_LOG_FILTER: "error",
  SIGPERSIST_AUTH_JWKS_HOSTS: host,
  SIGPERSIST_AUTH_JWKS_ALLOW: host,
  SIGPERSIST_AUTH_JWKS_CA_FILE: `${work}/certificate.pem`,
  SIGPERSIST_AUTH_JWKS_INTERVAL_S: "1",
};
delete environment.DATABASE_URL;
delete environment.RUST_LOG;
const run = (...words) => execFileSync(program, words, { env: environment, encoding: "utf8" });

run("tenant", "create", "acme");
run("issuer", "add", "acme", "oidc", issuer, "--audience", AUDIENCE, "--require", "client_id=crm");
const server = spawn(program, ["serve", "--listen", "127.0.0.1:0"], {
  env: environment,
  stdio: ["ignore", "pipe", "inherit"],
});
let failed = false;
try {
  let base;
  for await (const line of createInterface({ input: server.stdout })) {
    base = line.match(/http:\/\/[0-9.:]+/)?.[0];
    if (base) break;
  }
  const ask = (bearer, method, path, body) =>
    fetch(base + path, {
      method,
      headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
  const status = async (bearer) => (await ask(bearer, "GET", "/whoami")).status;
  const check = async (what, expected, actual) => {
    const got = await actual;
    const isRight = got === expected;
    failed ||= !isRight;
    console.log(`${isRight ? "right" : "WRONG"}  ${got}  ${what}`);
  };

  for (const algorithm of ALGORITHMS) {
    const bearer = await token(`ours/${algorithm}`);
    const draft = { document: algorithm, thread: "t", version: 0, cms: "signed" };
    const saved = await ask(bearer, "POST", "/signature", draft);
    await check(`a signature is saved with a token of ${algorithm}`, 201, saved.status);
    const query = `/signature?document=${algorithm}&thread=t`;
    await check("and read", 200, (await ask(bearer, "GET", query)).status);
    await check("but not deleted", 403, (await ask(bearer, "DELETE", query)).status);
  }
  const caller = (await (await ask(await token("ours/ES256"), "GET", "/whoami")).json()).content.caller;
  await check("the caller is the application", "acme crm", `${caller.tenant} ${caller.subject}`);
  const reader = await token("ours/ES256", "signatures:read");
  const draft = { document: "x", thread: "t", version: 0, cms: "signed" };
  await check("a token that only reads saves nothing", 403, (await ask(reader, "POST", "/signature", draft)).status);

  await check("a token for another audience is refused", 401, status(await token("others/ES256")));
  await check("an opaque token is refused", 401, status(await token("ours/opaque")));
  const [header, claims, signature] = (await token("ours/ES256")).split(".");
  const forged = JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/")));
  forged.scope += " signatures:delete";
  const changed = Buffer.from(JSON.stringify(forged)).toString("base64url");
  await check("a token whose claims were changed is refused", 401, status(`${header}.${changed}.${signature}`));
  await check("a token without a signature is refused", 401, status(`${header}.${claims}.`));

  const old = await token("ours/ES256");
  await check("a token before the keys are rotated", 200, status(old));
  answer = provider(issuer, 2).callback();
  await sleep(1_100);
  const fresh = await token("ours/ES256");
  await check("a token after that, with a key that was unknown", 200, status(fresh));
  await check("the token from before, whose key is gone", 401, status(old));

  listener.close();
  listener.closeAllConnections();
  await sleep(1_100);
  await check("a token while the provider is down", 200, status(fresh));
  run("issuer", "remove", "acme", "oidc");
  await sleep(1_000);
  await check("a token of an issuer that was removed", 401, status(fresh));
} finally {
  server.kill();
  await once(server, "exit");
}
console.log(`npm oidc-provider ${JSON.parse(readFileSync(new URL("package.json", import.meta.url))).dependencies["oidc-provider"]}; node ${process.version}`);
process.exit(failed ? 1 : 0);
