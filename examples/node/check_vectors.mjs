// Reproduces the test vectors beside an exported model: features from bars, actions from the model.
//
//   npm install
//   node check_vectors.mjs ../../runs/demo/export/policy.onnx
//
// Exit code 1 if anything differs by more than vectors.json allows.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { features } from "./features.mjs";

const model = process.argv[2];
const folder = join(dirname(model), "vectors");
const about = JSON.parse(readFileSync(join(folder, "vectors.json"), "utf8"));

function table(name) {
  const [header, ...rows] = readFileSync(join(folder, name), "utf8").trim().split("\n");
  const names = header.split(",");
  return rows.map((row) => {
    const cells = row.split(",");
    return Object.fromEntries(names.map((key, i) => [key, cells[i]]));
  });
}

const bars = table("bars.csv").map((row) => ({
  time: new Date(row.time),
  ...Object.fromEntries(
    ["open", "high", "low", "close", "volume"].map((name) => [name, Number(row[name])])),
}));
const expected = table("features.csv");
const decisions = table("decisions.csv");
const names = about.columns.slice(0, -5), portfolio = about.columns.slice(-5);

const session = await InferenceSession.create(model);
let worstFeature = 0, worstAction = 0;
for (const [i, decision] of decisions.entries()) {
  const mine = features(bars.slice(0, about.warmup_bars + 1 + i));
  names.forEach((name, k) => {
    worstFeature = Math.max(worstFeature, Math.abs(mine[k] - Number(expected[i][name])) || 0);
    if (Number.isNaN(mine[k])) worstFeature = Infinity;
  });
  const row = Float32Array.from([...mine, ...portfolio.map((name) => Number(decision[name]))]);
  const observation = new Tensor("float32", row, [1, row.length]);
  const { action } = await session.run({ observation });
  worstAction = Math.max(worstAction, Math.abs(action.data[0] - Number(decision.action)));
}
console.log(JSON.stringify({ rows: decisions.length, worstFeature, worstAction }));
const holds =
  worstFeature <= about.tolerance.features && worstAction <= about.tolerance.action;
process.exit(holds ? 0 : 1);
