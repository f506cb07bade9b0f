export { createEvalHost } from './eval-host.ts';
export type { EvalHostInputs, SessionHost } from './eval-host.ts';
export type { RetryInfo, SessionInfo, SettingInfo, VirtualProviders } from './providers.ts';
export { createVirtualSchemas } from './schemas.ts';
