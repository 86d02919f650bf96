// Where the page's data come from: from its own elements, or from the server of `facecap-batch serve`.

/** Bytes of base64. */
function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64.trim());
  return Uint8Array.from(atob(base64.trim()), (mark) => mark.charCodeAt(0));
}

/** Inflates zlib; an ArrayBuffer. */
async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** A block as `reporting.curves` and `reporting.head` make them: its header, and what is behind that. */
function openedBlock(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  /** The next `count` numbers, of a typed array's kind. */
  const next = (Kind, count) => {
    const end = at + count * Kind.BYTES_PER_ELEMENT;
    const values = new Kind(buffer.slice(at, end));
    at = end;
    return values;
  };
  return { header, next };
}

/** Data in the page itself. */
class EmbeddedSource {
  /** @returns the run, and every take with its figures. */
  async start() {
    return { run: this.#json("run"), takes: this.#json("takes") };
  }

  /** Figures that were not known at the start: none. */
  async gather() {}

  async head() {
    return inflated(bytesOf(document.getElementById("head").textContent));
  }

  /** The packed curves of a take. */
  async curves(number) {
    const name = `curves-${number}`;
    if (!document.getElementById(name) && document.readyState === "loading") {
      await new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve, { once: true }));
    }
    return inflated(bytesOf(document.getElementById(name).textContent));
  }

  #json(name) {
    return JSON.parse(document.getElementById(name).textContent);
  }
}

/** Data of the server that the page came from. */
class ServedSource {
  async start() {
    return (await this.#asked("run")).json();
  }

  /** Asks for figures until all are known; gives them to `onTakes` as they come. */
  async gather(onTakes) {
    for (let count = 0; ; ) {
      const answer = await (await this.#asked(`takes/${count}`)).json();
      count += answer.takes.length;
      onTakes(answer.takes, answer.error);
      if (answer.is_over) return;
    }
  }

  async head() {
    return inflated(await (await this.#asked("head")).arrayBuffer());
  }

  async curves(number) {
    return inflated(await (await this.#asked(`curves/${number}`)).arrayBuffer());
  }

  async #asked(path) {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`the server of this page answers ${answer.status}`);
    return answer;
  }
}
