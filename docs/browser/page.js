// Signs a document in the browser: the first person's signature is version 1, and everybody after that signs over the version
// that is current then.

import { Sigpersist, SigpersistError } from "sigpersist";
import { NcaLayer, withoutArmour } from "./ncalayer.js";

const button = document.querySelector("#sign");
const show = (text) => (document.querySelector("#status").textContent = text);

// The application says what is to be signed, and gives a token that is for this document only.
const { url, thread, content, ncaLayer } = await (await fetch("/task")).json();
const sigpersist = new Sigpersist({ url, token: async () => (await fetch("/token")).text() });
document.querySelector("#document").textContent = content;

button.addEventListener("click", async () => {
  button.disabled = true;
  show("Choose a key in NCALayer…");
  try {
    const { version } = await sign();
    show(`Signed. This is version ${version}.`);
  } catch (error) {
    show(error.message);
  }
  button.disabled = false;
});
show("Ready.");
button.disabled = false;

async function sign() {
  const layer = await NcaLayer.connect(ncaLayer);
  try {
    if (!(await isSigned())) {
      try {
        const cms = await layer.sign(toBase64(new TextEncoder().encode(content)));
        return (await sigpersist.save({ ...thread, version: 0, cms })).signature;
      } catch (error) {
        // Somebody else was the first meanwhile: sign over that version.
        if (!(error instanceof SigpersistError && error.is("version_conflict"))) throw error;
      }
    }
    // If somebody else is faster, this asks again with what that one saved.
    const countersigned = await sigpersist.countersign(thread, async (previous) => {
      const cms = await layer.sign(withoutArmour(previous.signature));
      await checkSigners(previous.signature, cms);
      return cms;
    });
    return countersigned.signature;
  } finally {
    layer.close();
  }
}

async function isSigned() {
  try {
    await sigpersist.get(thread);
    return true;
  } catch (error) {
    if (error instanceof SigpersistError && error.is("signature_not_found")) return false;
    throw error;
  }
}

/** Fails unless the new CMS has all signers of the previous one, and one more. */
async function checkSigners(previous, cms) {
  const [before, after] = await Promise.all(
    [previous, cms].map(async (one) => {
      const { inspection } = await sigpersist.inspect({ cms: one });
      return inspection.signers.map(({ certificate }) => certificate?.sha256);
    }),
  );
  if (after.length !== before.length + 1 || !before.every((one) => after.includes(one)))
    throw new Error("This NCALayer did not add a signature to the earlier ones. Nothing was saved.");
}

function toBase64(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
