/** Numbers as people read them: three figures, a unit, and never a unit that has to be guessed. */

const STEPS = ['', 'k', 'M', 'G', 'T', 'P'];
const whole = new Intl.NumberFormat('en');

/** Three significant figures with an SI prefix: `1.24 G`; the unit follows it. */
export function short(value: number, unit: string): string {
  let [scaled, step] = [Math.abs(value), 0];
  while (scaled >= 999.5 && step < STEPS.length - 1) {
    scaled /= 1000;
    step += 1;
  }
  const digits = scaled >= 99.5 || (step === 0 && Number.isInteger(scaled)) ? 0 : 1;
  const text = scaled.toFixed(scaled < 9.95 && step > 0 ? 2 : digits);
  const apart = step === 0 && unit.startsWith('/') ? '' : ' ';
  return `${value < 0 ? '−' : ''}${text}${apart}${STEPS[step]}${unit}`.trim();
}

/** Bytes a second as bits a second, as links are measured. */
export const bits = (bytesPerSecond: number): string => short(bytesPerSecond * 8, 'b/s');

export const bytes = (count: number): string => short(count, 'B');

export const packetRate = (perSecond: number): string => short(perSecond, '/s');

/** A whole number with its thousands apart. */
export const count = (value: number): string => whole.format(value);

export const percent = (ratio: number): string => {
  const value = ratio * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
};

/** How long ago, or how long: `12 s`, `4 min`, `3 h`, `9 d`. */
export function duration(seconds: number): string {
  if (seconds < 1) return 'now';
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** The same as a point in the past. */
export const ago = (seconds: number): string =>
  seconds < 1 ? 'just now' : `${duration(seconds)} ago`;

export const milliseconds = (value: number): string =>
  `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ms`;

/** `socket_overflow` as words. */
export const words = (name: string): string => name.replaceAll('_', ' ');

export const plural = (number: number, one: string, many = `${one}s`): string =>
  `${count(number)} ${number === 1 ? one : many}`;
