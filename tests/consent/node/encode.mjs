// Writes strings with IAB's own packages, always the same ones: a JSON list of {kind, text}.
import { writeFileSync } from "node:fs";
import { GppModel, Sections } from "@iabgpp/cmpapi";
import { GVL, PurposeRestriction, Segment, SegmentEncoder, TCModel } from "@iabtechlabtcf/core";

const [, , output, wanted] = process.argv;
const count = Number(wanted);

let state = 20260228;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const some = (largest, share) =>
  Array.from({ length: largest }, (_, n) => n + 1).filter(() => random() < share);

function vendors() {
  const largest = [0, 5, 40, 300, 1500][below(5)];
  const found = some(largest, [0, 0.03, 0.5, 0.97][below(4)]);
  // Runs, which are written as ranges.
  for (let runs = below(3); runs > 0 && largest > 0; runs--) {
    const first = 1 + below(largest);
    for (let id = first; id < first + below(60); id++) found.push(id);
  }
  return found;
}

const purposes = Object.fromEntries(Array.from({ length: 11 }, (_, n) => [n + 1, { id: n + 1 }]));
const listed = Object.fromEntries(
  Array.from({ length: 1600 }, (_, n) => [
    n + 1,
    { id: n + 1, purposes: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], legIntPurposes: [2, 7, 8, 9, 10],
      flexiblePurposes: [2, 7, 8, 9, 10], specialPurposes: [], features: [], specialFeatures: [] },
  ]),
);
const gvl = new GVL({
  gvlSpecificationVersion: 3, vendorListVersion: 51, tcfPolicyVersion: 5,
  lastUpdated: "2026-02-01T00:00:00Z", purposes, specialPurposes: {}, features: {},
  specialFeatures: {}, stacks: {}, dataCategories: {}, vendors: listed,
});

function tcf() {
  const model = new TCModel(gvl);
  model.cmpId = 2 + below(4090);
  model.cmpVersion = 2 + below(4000);
  model.consentScreen = below(60);
  model.isServiceSpecific = random() < 0.9;
  model.useNonStandardTexts = random() < 0.3;
  model.purposeOneTreatment = random() < 0.3;
  model.publisherCountryCode = ["DE", "FR", "IT", "GB"][below(4)];
  model.created = model.lastUpdated = new Date(Date.UTC(2019, below(90), 1 + below(28)));
  model.specialFeatureOptins.set(some(12, 0.3));
  model.purposeConsents.set(some(24, 0.5));
  model.purposeLegitimateInterests.set(some(24, 0.5));
  model.vendorConsents.set(vendors());
  model.vendorLegitimateInterests.set(vendors());
  model.vendorsDisclosed.set(vendors());
  model.vendorsAllowed.set(vendors());
  model.publisherConsents.set(some(24, 0.5));
  model.publisherLegitimateInterests.set(some(24, 0.3));
  model.publisherCustomConsents.set(some(below(20), 0.5));
  model.publisherCustomLegitimateInterests.set(some(below(20), 0.5));
  for (let n = below(6); n > 0; n--) {
    const restriction = new PurposeRestriction([2, 7, 8, 9, 10][below(5)], below(3));
    for (const id of vendors().slice(0, 30)) model.publisherRestrictions.add(id, restriction);
  }
  model.publisherRestrictions.gvl = gvl;
  const order = [Segment.VENDORS_DISCLOSED, Segment.VENDORS_ALLOWED, Segment.PUBLISHER_TC];
  const segments = [Segment.CORE, ...order.filter(() => random() < 0.6)];
  return segments.map((segment) => SegmentEncoder.encode(model, segment)).join(".");
}

function gpp() {
  const model = new GppModel();
  const names = [...Sections.SECTION_ID_NAME_MAP.values()].filter((name) => /^us[a-z]/.test(name));
  const all = names.filter(() => random() < 0.25);
  const none = all.length === 0 ? [names[below(names.length)]] : all;
  for (const name of none) {
    const empty = new GppModel();
    if (name === "uspv1") {
      for (const field of ["Notice", "OptOutSale", "LspaCovered"]) {
        model.setFieldValue(name, field, ["-", "Y", "N"][below(3)]);
      }
      continue;
    }
    empty.setFieldValue(name, "SaleOptOut", 0);
    for (const [field, value] of Object.entries(empty.toObject()[name])) {
      if (/Version$|SegmentType$|Included$/.test(field)) continue;
      // What is covered is never "does not apply".
      const lowest = field === "MspaCoveredTransaction" ? 1 : 0;
      const one = () => lowest + below(3 - lowest);
      if (Array.isArray(value)) model.setFieldValue(name, field, value.map(one));
      else if (field === "Gpc") model.setFieldValue(name, field, random() < 0.5);
      else model.setFieldValue(name, field, one());
    }
    if (name === "usnat" && random() < 0.5) model.setFieldValue(name, "Version", 1);
  }
  const text = model.encode();
  if (random() < 0.6) return text;
  // A TC string beside them, which the other package writes.
  model.setFieldValue("tcfeuv2", "CmpId", 7);
  const [head, , ...others] = model.encode().split("~");
  return [head, tcf(), ...others].join("~");
}

function canada() {
  const model = new GppModel();
  const bits = (size) => Array.from({ length: size }, () => random() < 0.5);
  const at = new Date(Date.UTC(2019, below(90), 1 + below(28)));
  const said = {
    CmpId: 2 + below(4090), CmpVersion: below(4000), ConsentScreen: below(60),
    VendorListVersion: below(4000), TcfPolicyVersion: 1 + below(5),
    UseNonStandardStacks: random() < 0.5, SpecialFeatureExpressConsent: bits(12),
    PurposesExpressConsent: bits(24), PurposesImpliedConsent: bits(24),
    VendorExpressConsent: vendors(), VendorImpliedConsent: vendors(),
    PubPurposesExpressConsent: bits(24), PubPurposesImpliedConsent: bits(24),
    Created: at, LastUpdated: at,
  };
  for (const [field, value] of Object.entries(said)) model.setFieldValue("tcfcav1", field, value);
  return model.encode();
}

const made = [];
for (let n = 0; n < count; n++) made.push({ kind: "tcf", text: tcf() });
for (let n = 0; n < count; n++) made.push({ kind: "gpp", text: gpp() });
// Last, so that what is above stays the same.
for (let n = 0; n < count; n++) made.push({ kind: "canada", text: canada() });
writeFileSync(output, JSON.stringify(made));
