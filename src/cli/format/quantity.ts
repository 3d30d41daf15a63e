/** Numbers for people: three figures, and a unit that fits. */
/** What is shown where a value is not known. */
export const UNKNOWN = '-';

const STEPS = ['', 'k', 'M', 'G', 'T', 'P'] as const;

/** 1234567 → `1.23M`; SI steps of 1000, as network rates are told. */
export function formatScaled(value: number | null): string {
  if (value === null) return UNKNOWN;
  let step = 0;
  let scaled = value;
  while (scaled >= 999.5 && step < STEPS.length - 1) {
    scaled /= 1000;
    step += 1;
  }
  return `${figures(scaled, step === 0)}${STEPS[step]}`;
}

function figures(value: number, whole: boolean): string {
  if (whole && Number.isInteger(value)) return `${value}`;
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** Bytes a second → bits a second with unit. */
export function formatBitRate(bytesPerSecond: number | null): string {
  return bytesPerSecond === null ? UNKNOWN : `${formatScaled(bytesPerSecond * 8)}bit/s`;
}

export function formatBytes(bytes: number | null): string {
  return bytes === null ? UNKNOWN : `${formatScaled(bytes)}B`;
}

/** 0.034 → `3 %`. */
export function formatShare(ratio: number | null): string {
  if (ratio === null) return UNKNOWN;
  const percent = ratio * 100;
  return `${percent > 0 && percent < 1 ? '<1' : Math.round(percent)} %`;
}

const UNITS: readonly (readonly [seconds: number, name: string])[] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'm'],
  [1, 's'],
];

/** 7384 → `2h 3m`: the two greatest units; less than a second is `0s`. */
export function formatAge(seconds: number): string {
  let rest = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [size, name] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || parts.length > 0) parts.push(`${count}${name}`);
  }
  return parts.slice(0, 2).join(' ') || '0s';
}
