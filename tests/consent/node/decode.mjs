// Decodes strings with IAB's own packages: a JSON list of {kind, text} in, one JSON line each out.
import { readFileSync, writeFileSync } from "node:fs";
import { GppModel } from "@iabgpp/cmpapi";
import { TCString } from "@iabtechlabtcf/core";

const [, , input, output] = process.argv;

// As ranges: one changed bit may name 65,535 vendors.
function ranges(ids) {
  const out = [];
  // In their order already, but for restrictions; sorting was a third of all the time.
  const ordered = ids.every((id, at) => !at || ids[at - 1] < id);
  for (const id of ordered ? ids : [...new Set(ids)].sort((a, b) => a - b)) {
    const last = out[out.length - 1];
    if (last && last[1] === id - 1) last[1] = id;
    else out.push([id, id]);
  }
  return out;
}

function ids(vector) {
  const found = [];
  vector.forEach((set, id) => set && found.push(id));
  return found;
}

function tcf(text) {
  const model = TCString.decode(text);
  const restricted = model.publisherRestrictions;
  return {
    created: model.created.getTime(),
    updated: model.lastUpdated.getTime(),
    cmp_id: model.cmpId,
    cmp_version: model.cmpVersion,
    screen: model.consentScreen,
    language: model.consentLanguage,
    list_version: model.vendorListVersion,
    policy_version: model.policyVersion,
    service_specific: model.isServiceSpecific,
    non_standard_texts: model.useNonStandardTexts,
    special_features: ids(model.specialFeatureOptins),
    purposes: ids(model.purposeConsents),
    legitimate: ids(model.purposeLegitimateInterests),
    one_treatment: model.purposeOneTreatment,
    country: model.publisherCountryCode,
    vendors: ranges(ids(model.vendorConsents)),
    legitimate_vendors: ranges(ids(model.vendorLegitimateInterests)),
    restrictions: restricted
      .getRestrictions()
      .map((r) => [r.purposeId, r.restrictionType, ranges(restricted.getVendors(r))])
      .filter((r) => r[2].length)
      .sort((a, b) => a[0] - b[0] || a[1] - b[1]),
    disclosed: ranges(ids(model.vendorsDisclosed)),
    allowed: ranges(ids(model.vendorsAllowed)),
    publisher: [
      ids(model.publisherConsents),
      ids(model.publisherLegitimateInterests),
      ids(model.publisherCustomConsents),
      ids(model.publisherCustomLegitimateInterests),
    ],
  };
}

function gpp(text) {
  const model = new GppModel(text);
  const sections = model.getSectionIds();
  const out = { sections, ...model.toObject() };
  // By the package that is for TC strings, whose form is compared.
  if (out.tcfeuv2) out.tcfeuv2 = tcf(text.split("~")[1 + sections.indexOf(2)]);
  return out;
}

const readers = { tcf, gpp, canada: (text) => new GppModel(text).toObject().tcfcav1 };
const lines = JSON.parse(readFileSync(input, "utf8")).map(({ kind, text }) => {
  try {
    return JSON.stringify(readers[kind](text));
  } catch (error) {
    return JSON.stringify({ error: String(error.message).slice(0, 80) });
  }
});
writeFileSync(output, lines.join("\n"));
