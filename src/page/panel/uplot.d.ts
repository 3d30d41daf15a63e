/** The build copies uPlot's own ES module to this place: the browser knows no packages. */
export { default } from 'uplot';
