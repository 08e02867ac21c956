// Read every collection of an address with ArcGIS's SDK, in pages, and print features, missing columns and the greatest limit of each.
import { pathToFileURL } from "node:url";

const [folder, url] = process.argv.slice(2);
// Of browsers; Node has it from version 22 on.
Promise.withResolvers ??= () => {
  let resolve, reject;
  const promise = new Promise((one, other) => { resolve = one; reject = other; });
  return { promise, resolve, reject };
};
console.warn = console.error = () => {};
const { default: OGCFeatureLayer } = await import(pathToFileURL(`${folder}/@arcgis/core/layers/OGCFeatureLayer.js`));
const found = {};
for (const { id } of (await (await fetch(`${url}/collections`)).json()).collections) {
  const sent = (await (await fetch(`${url}/collections/${id}/items?limit=1000`)).json()).features;
  const said = new Set(sent.flatMap(({ properties }) => Object.keys(properties).filter((name) => properties[name] !== null)));
  const layer = new OGCFeatureLayer({ url, collectionId: id });
  await layer.load();
  const read = [];
  for (let page; !page || page.length === 5;) {
    page = (await layer.queryFeatures({ num: 5, start: read.length, outFields: ["*"] })).features;
    read.push(...page);
  }
  const columns = new Set(layer.fields.map((each) => each.alias));
  found[id] = {
    features: new Set(read.map(({ attributes }) => attributes.id)).size,
    missing: [...said].filter((name) => !columns.has(name)),
    largest: layer.capabilities.query.maxRecordCount,
  };
}
console.log(JSON.stringify(found));
process.exit(0);
