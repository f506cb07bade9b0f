/**
 * Gives processes less than a whole core, by control groups of Linux (version 1 or 2): several nodes on few cores are
 * then each as slow as a node of its own would be, and what one of them cannot do shows.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';

const mount = '/sys/fs/cgroup';
const periodMicros = 10_000;

/** `share` of one core for each process. Returns what ends it; undefined where this is not allowed. */
export function limitProcessor(pids: readonly number[], share: number): (() => void) | undefined {
  const unified = existsSync(`${mount}/cgroup.controllers`);
  const root = unified ? mount : `${mount}/cpu`;
  const quota = Math.round(periodMicros * share);
  const groups: string[] = [];
  const lift = (): void => {
    for (const pid of pids) writeFileSync(`${root}/cgroup.procs`, String(pid));
    for (const group of groups) rmdirSync(group);
  };
  try {
    for (const pid of pids) {
      const group = `${root}/skein-bench-${pid}`;
      mkdirSync(group);
      groups.push(group);
      if (unified) {
        writeFileSync(`${group}/cpu.max`, `${quota} ${periodMicros}`);
      } else {
        writeFileSync(`${group}/cpu.cfs_period_us`, String(periodMicros));
        writeFileSync(`${group}/cpu.cfs_quota_us`, String(quota));
      }
      writeFileSync(`${group}/cgroup.procs`, String(pid));
    }
    return lift;
  } catch {
    for (const group of groups) rmdirSync(group);
    return undefined;
  }
}
