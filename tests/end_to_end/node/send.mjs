// Sends events through the published SDK and prints, a line each, what the SDK says it sent.
// node send.mjs <host> <write key> <events> <people>
import { Analytics } from "@segment/analytics-node";

const [host, writeKey, events, people] = process.argv.slice(2);
// Generous, as a user who cares would set it. What it gives up by itself: after maxRetries
// (default 3) a batch is dropped and its callbacks get the error; closeAndFlush drops what is
// left after its timeout (default flushInterval * 1.25). httpRequestTimeout is 10 s.
const analytics = new Analytics({ host, writeKey, maxRetries: 100, flushAt: 15, flushInterval: 300 });

const print = (entry) => process.stdout.write(JSON.stringify(entry) + "\n");
analytics.on("error", (error) => print({ failed: String(error.reason ?? error) }));
const done = (error, context) =>
  print(error ? { failed: String(error) } : { sent: context.event });

for (let n = 0; n < Number(events); n++) {
  const userId = `njs-${n % Number(people)}`;
  const anonymousId = `${userId}-device`;
  const properties = {
    n, price: 0.1 + 0.2, tiny: 5e-324, large: 1e21, whole: 2 ** 53, text: "Zoë 🛒 \u2028 \"'\\",
    nested: { list: [1, "two", { three: 3.5 }, null, []], empty: {} }, yes: true, nothing: null,
  };
  const timestamp = new Date(Date.UTC(2026, 0, 1) + n * 61_001);
  const common = { userId, timestamp };
  const call = n % 8;
  if (call === 0) analytics.identify({ ...common, anonymousId, traits: { name: "Zoë", n } }, done);
  else if (call === 1) analytics.page({ ...common, category: "Shop", name: "Pâge", properties }, done);
  else if (call === 2) analytics.screen({ ...common, name: "Écran", properties }, done);
  else if (call === 3) analytics.group({ ...common, groupId: `g-${n}`, traits: { plan: "pro" } }, done);
  else if (call === 4) analytics.alias({ userId, previousId: `${userId}-earlier`, timestamp }, done);
  else if (call === 5) analytics.track({ anonymousId, timestamp, event: "Browsed", properties }, done);
  else analytics.track({ ...common, event: "Order Completed 日本", properties }, done);
  await new Promise((go) => setTimeout(go, 6));
}
await analytics.closeAndFlush({ timeout: 120_000 });
