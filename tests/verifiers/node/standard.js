// Verifies calls of webhooks with the library of Standard Webhooks: node standard.js WORK prints a line for each case.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const work = process.argv[2];
const clock = Date.now;
for (const line of readFileSync(join(work, "expected"), "utf8").split("\n")) {
  const name = line.split(" ")[0];
  if (!name.startsWith("call/")) continue;
  const folder = join(work, "cases", name);
  const read = (file) => readFileSync(join(folder, file), "utf8");
  const late = existsSync(join(folder, "late")) ? Number(read("late")) : 0;
  Date.now = () => clock() + late * 1000;
  try {
    new Webhook(read("secret")).verify(read("body"), JSON.parse(read("headers")));
    console.log(`${name} accepted`);
  } catch (refused) {
    if (!(refused instanceof WebhookVerificationError)) throw refused;
    console.log(`${name} refused ${refused.message}`);
  }
}
