/** The views of research, which are loaded when one of them is first opened. */
export { BacktestPage } from './backtest-page';
export { OptimizePage } from './optimize-page';
export { SignalsPage } from './signals-page';
export { StrategiesPage } from './strategies-page';
