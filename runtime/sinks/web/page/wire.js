// The connection: opens it, opens it again where it breaks, and takes the server's messages apart.

const CREDIT = 2; // frames that may be under way unacknowledged: one on the wire while one is drawn
const LONGEST_MS = 5000;

/** Calls `on.hello`, `on.stats`, `on.frame` (awaited, then acknowledged) and `on.open(whether)`; gives `tell(wish)`. */
export function connect(on) {
  let socket = null;
  let tries = 0;
  const wishes = { shows: true };

  function open() {
    const url = new URL(`ws?credit=${CREDIT}`, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (wishes.source) url.searchParams.set("source", wishes.source);
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      tries = 0;
      if (!wishes.shows) send({ shows: false });
      on.open(true);
    };
    socket.onmessage = ({ data }) => (typeof data === "string" ? text(JSON.parse(data)) : frame(socket, data));
    socket.onclose = () => {
      on.open(false);
      setTimeout(open, Math.min(LONGEST_MS, 300 * 2 ** tries++) * (0.75 + Math.random() / 2));
    };
  }

  function text(message) {
    if (message.type === "hello") on.hello(message.sources);
    if (message.type === "stats") on.stats(message.sources);
  }

  async function frame(from, data) {
    try {
      await on.frame(unpack(data));
    } finally {
      if (from === socket) send({ ack: 1 });
    }
  }

  function send(wish) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(wish));
  }

  open();
  return (wish) => {
    Object.assign(wishes, wish);
    send(wish);
  };
}

/** {…header, photo: Blob, mask: Uint8Array or null} of a binary message. */
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const begin = 4 + length;
  const photo = new Blob([new Uint8Array(buffer, begin, header.jpeg)], { type: "image/jpeg" });
  const mask = new Uint8Array(buffer, begin + header.jpeg);
  return { ...header, photo, mask: mask.length ? mask : null };
}
