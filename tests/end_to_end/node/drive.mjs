// Makes the calls of a scenario through one published Node SDK.
// node drive.mjs <sdk>, with the scenario as a line of JSON on standard input; after `hold` calls it
// waits for a second line. Prints as JSON what it gave up.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value;
const scenario = JSON.parse(await line());
const { host, writeKey, batch, retries } = scenario;
const failed = [];
const note = (error) => error && failed.push(String(error?.reason ?? error?.message ?? error).slice(0, 300));
const dated = (call) => (call.timestamp ? { ...call, timestamp: new Date(call.timestamp) } : call);
const sleep = (ms) => new Promise((go) => setTimeout(go, ms));

// Each answers { call(kind, message), close() }.
const sdks = {
  async "segment-3"() {
    const { Analytics } = await import("@segment/analytics-node");
    return segment(Analytics);
  },
  async "segment-2"() {
    const { Analytics } = await import("segment-analytics-node-2");
    return segment(Analytics);
  },
  async "segment-1"() {
    const { Analytics } = await import("segment-analytics-node-1");
    return segment(Analytics);
  },
  async customerio() {
    const { Analytics } = await import("@customerio/cdp-analytics-node");
    return segment(Analytics);
  },
  "analytics-6": () => old("analytics-node"),
  "analytics-5": () => old("analytics-node-5"),
  "analytics-3": () => old("analytics-node-3"),
  async rudder() {
    const { default: Analytics } = await import("@rudderstack/rudder-sdk-node");
    return queued(new Analytics(writeKey, {
      dataPlaneUrl: host, flushAt: batch, flushInterval: 200, retryCount: retries, errorHandler: note,
    }));
  },
  async "rudder-2"() {
    const { default: Analytics } = await import("rudder-sdk-node-2");
    return queued(new Analytics(writeKey, { dataPlaneUrl: host, flushAt: batch, flushInterval: 200, logLevel: "error" }));
  },
  async "rudder-1"() {
    const { default: Analytics } = await import("rudder-sdk-node-1");
    return queued(new Analytics(writeKey, `${host}/v1/batch`, { flushAt: batch, flushInterval: 200, logLevel: "error" }));
  },
  async expo() {
    const { default: Analytics } = await import("@expo/rudder-sdk-node");
    return queued(new Analytics.default(writeKey, `${host}/v1/batch`, { flushAt: batch, flushInterval: 200 }));
  },
  async "service-worker"() {
    const { Analytics } = await import("@rudderstack/analytics-js-service-worker");
    return queued(new Analytics(writeKey, host, { flushAt: batch, flushInterval: 200, maxInternalQueueSize: 1000 }));
  },
  async jitsu() {
    const { jitsuAnalytics } = await import("@jitsu/js");
    const jitsu = jitsuAnalytics({ host, writeKey: `${writeKey}:secret`, fetch, s2s: true });
    return {
      // The SDK keeps one person: each call is told whose it is.
      async call(kind, m) {
        const options = { userId: m.userId, anonymousId: m.anonymousId, context: m.context };
        const what = {
          identify: [m.userId, m.traits],
          group: [m.groupId, m.traits],
          page: [{ ...m.properties, name: m.name, category: m.category }],
          track: [m.event, m.properties],
        };
        await jitsu[kind](...what[kind], options).catch(note);
      },
      async close() {},
    };
  },
  async dittofeed() {
    const { DittofeedSdk } = await import("@dittofeed/sdk-node");
    const basic = Buffer.from(`${writeKey}:`).toString("base64");
    await DittofeedSdk.init({ host, writeKey: `Basic ${basic}` });
    return {
      async call(kind, m) {
        DittofeedSdk[kind](m.timestamp ? { ...m, timestamp: new Date(m.timestamp).toISOString() } : m);
      },
      close: () => DittofeedSdk.flush(),
    };
  },
};

function segment(Analytics) {
  const analytics = new Analytics({
    host, writeKey, maxRetries: retries, flushAt: batch, maxEventsInBatch: batch, flushInterval: 200,
  });
  analytics.on("error", note);
  return {
    async call(kind, message) {
      analytics[kind](dated(message));
    },
    close: () => analytics.closeAndFlush({ timeout: 60_000 }),
  };
}

async function old(name) {
  const { default: Analytics } = await import(name);
  return queued(new Analytics(writeKey, {
    host, flushAt: batch, flushInterval: 200, retryCount: retries, errorHandler: note,
  }));
}

function queued(analytics) {
  const waiting = [];
  return {
    async call(kind, message) {
      waiting.push(new Promise((done) => analytics[kind](dated(message), (error) => done(note(error)))));
    },
    async close() {
      await analytics.flush();
      await Promise.race([Promise.all(waiting), sleep(60_000)]);
    },
  };
}

const sdk = await sdks[process.argv[2]]();
for (const [n, { type, ...message }] of scenario.calls.entries()) {
  if (n === scenario.hold) await line();
  await sdk.call(type, message);
}
await sdk.close();
process.stdout.write(JSON.stringify({ failed }) + "\n", () => process.exit(0));
