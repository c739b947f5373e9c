import { expect, test } from "bun:test";
import { LeafPolicy } from "../../src/sync/leaf-policy.ts";

function observeMany(policy: LeafPolicy, times: number, touched: number, leaves: number): void {
  for (let i = 0; i < times; i++) policy.observe(touched, leaves);
}

function answers(policy: LeafPolicy, times: number): boolean[] {
  return Array.from({ length: times }, () => policy.pays());
}

test("LeafPolicy.pays() says yes before anything is known", () => {
  expect(answers(new LeafPolicy(), 100)).toEqual(new Array(100).fill(true));
});

test("LeafPolicy.pays() says no once blocks have differed nearly everywhere for a while", () => {
  const policy = new LeafPolicy();
  // 1 - (15/16)^n exceeds 0.9 from n = 36 on.
  observeMany(policy, 35, 256, 256);
  expect(policy.pays()).toBe(true);
  policy.observe(256, 256);
  expect(policy.pays()).toBe(false);
});

test("LeafPolicy.pays() still probes one block in 16 when it does not pay", () => {
  const policy = new LeafPolicy();
  observeMany(policy, 100, 256, 256);
  const sixteen = [...new Array(15).fill(false), true];
  expect(answers(policy, 48)).toEqual([...sixteen, ...sixteen, ...sixteen]);
});

test("LeafPolicy.observe() of probes that touch little makes it pay again", () => {
  const policy = new LeafPolicy();
  observeMany(policy, 200, 256, 256);
  expect(policy.pays()).toBe(false);
  policy.observe(1, 256);
  expect(policy.pays()).toBe(false);
  policy.observe(1, 256);
  expect(answers(policy, 40)).toEqual(new Array(40).fill(true));
});

test("LeafPolicy.pays() keeps saying yes where blocks differ in most but not nearly all leaves", () => {
  const policy = new LeafPolicy();
  observeMany(policy, 1000, 220, 256);
  expect(answers(policy, 40)).toEqual(new Array(40).fill(true));
});

test("LeafPolicy.observe() weighs a short block by its share of leaves", () => {
  const policy = new LeafPolicy();
  observeMany(policy, 36, 3, 3);
  expect(policy.pays()).toBe(false);
});
