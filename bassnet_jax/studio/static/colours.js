// Colours of the pictures, from the page's own variables, so that dark and light need nothing else.

export function theme() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return {
    field: get('--field'), text: get('--text'), soft: get('--soft'), line: get('--line'), accent: get('--accent'), accentText: get('--accent-text'), grid: get('--grid'),
    row: get('--row'), wave: get('--wave'), beat: get('--beat'), danger: get('--danger'), card: get('--card'),
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
  };
}

const DARK = [[19, 27, 37], [24, 52, 76], [36, 92, 122], [70, 142, 160], [168, 208, 190]];
const LIGHT = [[247, 249, 250], [212, 230, 238], [150, 194, 212], [82, 146, 180], [32, 92, 134]];
const WARM_DARK = [[24, 24, 44], [74, 36, 88], [150, 56, 86], [222, 106, 62], [250, 202, 110]];
const WARM_LIGHT = [[250, 246, 238], [248, 216, 160], [240, 160, 92], [198, 84, 76], [108, 38, 88]];

// The colour of a value 0..1 on one of the two scales: [r, g, b].
export function ramp(value, dark, warm) {
  const scale = warm ? (dark ? WARM_DARK : WARM_LIGHT) : dark ? DARK : LIGHT;
  const place = Math.min(Math.max(value, 0), 1) * (scale.length - 1);
  const low = Math.min(Math.floor(place), scale.length - 2);
  return scale[low].map((from, i) => from + (scale[low + 1][i] - from) * (place - low));
}

// A canvas of the element's own size in device pixels; returns the context and its size in CSS pixels.
export function fitted(canvas) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}
