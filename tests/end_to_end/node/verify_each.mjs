// Verifies webhooks with the published library: {secret, headers, body} a line in, "ok" or "no" out.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  let said = "ok";
  try {
    new Webhook(secret).verify(body, headers);
  } catch {
    said = "no";
  }
  process.stdout.write(`${said}\n`);
}
