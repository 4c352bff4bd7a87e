// Signs with NCALayer, the program of Kazakhstan's certification authority, which listens on the person's own machine.
//
// It greets whoever connects with its version, and answers requests one after another. `sign` of the module
// `kz.gov.pki.knca.basics` shows the person a dialog to choose a key.

/** NCALayer could not sign, or the person closed its dialog (`cancelled`). */
export class NcaLayerError extends Error {
  constructor(message, { cancelled = false } = {}) {
    super(message);
    this.name = "NcaLayerError";
    this.cancelled = cancelled;
  }
}

export class NcaLayer {
  #socket;
  #waiting;

  /** Connects to NCALayer. The address is the same on every machine. */
  static async connect(url = "wss://127.0.0.1:13579/") {
    const layer = new NcaLayer();
    const greeting = layer.#answer();
    layer.#socket = new WebSocket(url);
    layer.#socket.onmessage = ({ data }) => layer.#settle(data);
    layer.#socket.onerror = () => layer.#fail("NCALayer does not answer: is it installed and running?");
    layer.#socket.onclose = () => layer.#fail("NCALayer closed the connection.");
    layer.version = (await greeting).result?.version;
    if (layer.version === undefined) throw new NcaLayerError("The program on NCALayer's port is not NCALayer.");
    return layer;
  }

  /**
   * Has the person sign. A CMS gets a further signer; anything else is signed for the first time, and is then in the CMS.
   *
   * @param {string} base64 What to sign: base64 without PEM's armour.
   * @returns {Promise<string>} The CMS in base64.
   */
  async sign(base64, { locale = "ru" } = {}) {
    const args = {
      allowedStorages: null, // any: a file, a token, an identity card
      format: "cms",
      data: base64,
      signingParams: { decode: true, encapsulate: true, digested: false, tsaProfile: {} },
      signerParams: { extKeyUsageOids: ["1.3.6.1.5.5.7.3.4"] }, // keys for signing, not for logging in
      locale,
    };
    const answer = this.#answer();
    this.#socket.send(JSON.stringify({ module: "kz.gov.pki.knca.basics", method: "sign", args }));
    const { status, code, message, body } = await answer;
    if (!status) throw new NcaLayerError(`NCALayer could not sign: ${message ?? code ?? "it does not say why"}`);
    const signed = [body?.result].flat()[0];
    if (signed === undefined) throw new NcaLayerError("You closed NCALayer's dialog.", { cancelled: true });
    return withoutArmour(signed);
  }

  close() {
    this.#socket.close();
  }

  #answer() {
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  #settle(data) {
    if (data === "--heartbeat--") return;
    this.#waiting?.resolve(JSON.parse(data));
    this.#waiting = undefined;
  }

  #fail(message) {
    this.#waiting?.reject(new NcaLayerError(message));
    this.#waiting = undefined;
  }
}

/** Base64 without the first and last line of PEM, and without line feeds: NCALayer gives PEM, and takes only base64. */
export function withoutArmour(text) {
  return text.replace(/-----[^-]*-----/g, "").replace(/\s/g, "");
}
