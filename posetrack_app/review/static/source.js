// Where the data comes from: the server of `posetrack review`, or what `--export` put into the page.

class Server {
  async get(path, signal) {
    const response = await fetch(path, { signal });
    if (!response.ok) throw new Error(await response.text());
    return response;
  }

  async tracks() {
    return (await this.get("tracks")).arrayBuffer();
  }

  async keypoints(block) {
    return (await this.get(`keypoints/${block}`)).arrayBuffer();
  }

  async frame(index, signal) {
    return (await this.get(`frame/${index}`, signal)).blob();
  }

  /** Add, undo or redo an edit; gives the server's answer, and its error as `error`. */
  async change(what, revision, edit = {}) {
    const body = JSON.stringify({ revision, edit });
    try {
      const response = await fetch(`edits/${what}`, {
        method: "POST", body, headers: { "Content-Type": "application/json" },
      });
      return { status: response.status, ...(await response.json()) };
    } catch {
      return { status: 0, error: "the server does not answer; start posetrack review again" };
    }
  }
}

class Embedded {
  bytes(name) {
    const text = document.getElementById(name)?.textContent;
    if (text === undefined) throw new Error("not in this page");
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  async tracks() {
    return this.bytes("tracks").buffer;
  }

  async keypoints(block) {
    return this.bytes(`keypoints-${block}`).buffer;
  }

  async frame(index) {
    return new Blob([this.bytes(`frame-${index}`)], { type: "image/webp" });
  }
}

export const source = document.getElementById("tracks") ? new Embedded() : new Server();
