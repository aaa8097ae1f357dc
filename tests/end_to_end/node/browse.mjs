// Visits a shop in Chromium with one browser SDK after the other, as a customer would.
// The first line of standard input is the JSON of all visits; prints a line of JSON for each that
// is done. The pages stay open, so that what an SDK holds back can follow, until the input ends.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import puppeteer from "puppeteer-core";

const RECENT = 'import { AnalyticsBrowser as Browser } from "@segment/analytics-next";';
// Each page's script sets window.load(host, key), which answers the SDK.
const segment = (source, options = "{}") => `${source}
  window.load = async (host, key) =>
    (await Browser.load({ writeKey: key, cdnURL: host }, ${options}))[0];`;
const delivery = (strategy) =>
  `{ integrations: { "Segment.io": { deliveryStrategy: ${JSON.stringify(strategy)} } } }`;
const rudder = (options) => `import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";
  window.load = (host, key) => new Promise((ready) => {
    const sdk = new RudderAnalytics();
    sdk.load(key, host, { configUrl: host, ${options} });
    sdk.ready(() => ready(sdk));
  });`;

const scripts = {
  segment: segment(RECENT),
  "segment-1.70": segment('import { AnalyticsBrowser as Browser } from "segment-analytics-next-1-70";'),
  "segment-keepalive": segment(RECENT, delivery({ config: { keepalive: true } })),
  "segment-batching": segment(RECENT, delivery({ strategy: "batching", config: { size: 5, timeout: 500 } })),
  consent: `${RECENT}
    import { createWrapper } from "@segment/analytics-consent-tools";
    window.categories ??= { functional: true, analytics: true, advertising: false };
    window.load = async (host, key) => {
      const analytics = new Browser();
      createWrapper({
        getCategories: () => window.categories,
        registerOnConsentChanged: (tell) => { window.choose = (c) => { window.categories = c; tell(c); }; },
        shouldLoadSegment: (context) => context.load({ consentModel: "opt-in" }),
      })(analytics);
      await analytics.load({ writeKey: key, cdnURL: host });
      // Where nobody agreed to what the source collects for, the SDK never starts.
      const never = new Promise((go) => setTimeout(go, 1500, [{ track() {} }]));
      return (await Promise.race([analytics, never]))[0];
    };`,
  hightouch: `import { HtEventsBrowser } from "@ht-sdks/events-sdk-js-browser";
    window.load = async (host, key) => {
      const { host: apiHost, protocol } = new URL(host);
      return (await HtEventsBrowser.load({ writeKey: key }, { apiHost, protocol: protocol.slice(0, -1) }))[0];
    };`,
  customerio: `import { AnalyticsBrowser as Browser } from "@customerio/cdp-analytics-browser";
    window.load = async (host, key) =>
      (await Browser.load({ writeKey: key, cdnURL: host + "/customerio" }))[0];`,
  rudder: rudder(""),
  "rudder-batch": rudder("queueOptions: { batch: { enabled: true, maxItems: 5, flushInterval: 500 } }"),
  "rudder-beacon": rudder("useBeacon: true, beaconQueueOptions: { maxItems: 5, flushQueueInterval: 500 }"),
  "rudder-2": `import * as sdk from "rudder-sdk-js";
    window.load = (host, key) => new Promise((ready) => {
      sdk.load(key, host, { configUrl: host });
      sdk.ready(() => ready(sdk));
    });`,
  jitsu: `import { jitsuAnalytics } from "@jitsu/js";
    window.load = async (host, key) => jitsuAnalytics({
      host, writeKey: key + ":secret", cookieDomain: location.hostname,  // an address has no domain
    });`,
  // Its own settings are empty, whatever its CDN says.
  june: `import { AnalyticsBrowser as Browser } from "@june-so/analytics-next";
    window.load = async (host, key) => {
      const { host: name, protocol } = new URL(host);
      const june = { apiHost: name + "/sdk", protocol: protocol.slice(0, -1) };
      const cdnSettings = { integrations: { "june.so": june }, metrics: { sampleRate: 0 } };
      return (await Browser.load({ writeKey: key, cdnSettings }))[0];
    };`,
  // It remembers nobody: the page says with each call who it is.
  dittofeed: `import { DittofeedSdk as sdk } from "@dittofeed/sdk-web";
    window.load = async (host, key) => {
      await sdk.init({ host, writeKey: "Basic " + btoa(key + ":") });
      const kept = window.localStorage;
      kept.device ??= crypto.randomUUID();
      const who = () => ({ anonymousId: kept.device, ...(kept.user && { userId: kept.user }) });
      return {
        page: (name) => sdk.page({ ...who(), name }),
        track: (event, properties) => sdk.track({ ...who(), event, properties }),
        identify: (user, traits) => { kept.user = user; sdk.identify({ ...who(), traits }); },
      };
    };`,
  // No SDK: what a page can read of each answer (status, code, our header) or the error it gets.
  nothing: `window.load = async (host, key) => async (userId) => {
    const event = (n) => ({ type: "track", event: "Bare", userId, writeKey: key, properties: { n } });
    const post = (body, headers) => ({ method: "POST", body, headers });
    const asked = {
      "stored": ["/v1/t", { ...post(JSON.stringify(event(1))), keepalive: true }],
      "no json": ["/v1/b", post("{")],
      "no key": ["/v1/t", post("{}", { authorization: "Basic Og==", "x-retry-count": "1" })],
      "no such project": ["/v1/projects/wk_none/settings"],
      "no such path": ["/v1/none", post("{}")],
      "no such method": ["/v1/batch"],
      "too large": ["/v1/batch", post(" ".repeat(5_000_000))],
      "profiles": ["/v1/profiles"],
      "document": ["/openapi.json"],
    };
    const out = {};
    for (const [name, [path, init]] of Object.entries(asked))
      out[name] = await fetch(host + path, init).then(
        async (r) => [r.status, (await r.json()).code ?? "", r.headers.has("request-id")], String);
    const batch = new Blob([JSON.stringify({ batch: [event(2)] })], { type: "text/plain" });
    out.beacon = navigator.sendBeacon(host + "/beacon/v1/batch?writeKey=" + key, batch);
    const image = new Image();
    image.src = host + "/v1/pixel/track.gif?data=" + encodeURIComponent(btoa(JSON.stringify(event(3))));
    await image.decode();
    return { ...out, image: [image.naturalWidth, image.naturalHeight] };
  };`,
};

// The snippet of Segment's documentation, shortened, with nothing set but where its files are.
const snippet = (host, key) => `<script>
  var analytics = (window.analytics = []);
  analytics.invoked = true;
  for (const name of ["track", "identify", "page", "alias", "ready", "user", "on", "once"])
    analytics[name] = (...given) => (analytics.push([name, ...given]), analytics);
  analytics.SNIPPET_VERSION = "5.2.1";
  analytics._writeKey = "${key}";
  analytics._cdn = "${host}";
  window.load = () => new Promise((ready) => analytics.ready(() => ready(window.analytics)));
  </script><script async src="/standalone.js" data-global-segment-analytics-key="analytics"></script>`;

const bundles = {};
async function bundle(name) {
  bundles[name] ??= build({
    stdin: { contents: scripts[name], resolveDir: import.meta.dirname },
    bundle: true, write: false, format: "iife", platform: "browser", logLevel: "silent",
    define: { "process.env.NODE_ENV": '"production"', global: "window" },
  }).then((made) => made.outputFiles[0].text);
  return bundles[name];
}

const pages = createServer(async (request, response) => {
  const url = new URL(request.url, "http://shop");
  const [, kind, name] = url.pathname.split("/");
  if (kind === "script") {
    response.setHeader("content-type", "text/javascript");
    response.end(await bundle(name));
  } else if (url.pathname === "/standalone.js") {
    response.end(readFileSync("node_modules/@segment/analytics-next/dist/umd/standalone.js"));
  } else if (kind === "favicon.ico") {
    response.writeHead(204).end();
  } else {
    const { host, key } = Object.fromEntries(url.searchParams);
    const script = name === "snippet" ? snippet(host, key) : `<script src="/script/${name}"></script>`;
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.end(`<!doctype html><title>Shop</title><h1>Shop</h1>${kind === "shop" ? script : ""}`);
  }
});

const lines = createInterface({ input: process.stdin });
const told = new Promise((take) => lines.once("line", take));
const closed = new Promise((take) => lines.once("close", take));
const { chromium, visits, atOnce } = JSON.parse(await told);
await new Promise((go) => pages.listen(0, "127.0.0.1", go));
const shop = `http://127.0.0.1:${pages.address().port}`;
const browser = await puppeteer.launch({
  executablePath: chromium,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--no-first-run", "--no-default-browser-check",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
  ],
});

async function visit({ name, script, host, key, before, steps }) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const elsewhere = [], errors = [], said = [];
  if (before) await page.evaluateOnNewDocument(before);
  page.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (protocol.startsWith("http") && hostname !== "127.0.0.1") elsewhere.push(request.url());
  });
  page.on("pageerror", (error) => errors.push(String(error).slice(0, 300)));
  const address = (path) => `${shop}/${path}/${script}?${new URLSearchParams({ host, key })}`;
  try {
    for (const [what, ...given] of steps) {
      if (what === "open") {
        await page.goto(address("shop"), { waitUntil: "load" });
        await page.evaluate(async (h, k) => { window.sdk = await window.load(h, k); }, host, key);
      } else if (what === "leave") {
        // In one breath: the page is gone before anything has been answered.
        await Promise.all([page.waitForNavigation(), page.evaluate((calls, to) => {
          for (const [method, ...parts] of calls) window.sdk[method](...parts);
          location.href = to;
        }, given[0], address("left"))]);
      } else if (what === "run") {
        said.push(await page.evaluate(given[0]));
      } else if (what === "wait") {
        // At best: a request that a page left behind is never said to have ended.
        await page.waitForNetworkIdle({ idleTime: given[0], timeout: 3_000 }).catch(() => {});
      } else {
        await page.evaluate((method, parts) => { void window.sdk[method](...parts); }, what, given);
      }
    }
  } catch (error) {
    errors.push(String(error).slice(0, 500));
  }
  process.stdout.write(JSON.stringify({ name, elsewhere, errors, said }) + "\n");
}

const waiting = [...visits];
await Promise.all(Array.from({ length: atOnce }, async () => {
  while (waiting.length) await visit(waiting.shift());
}));
await closed;
await browser.close();
process.exit(0);
