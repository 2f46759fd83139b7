export { candles as GET } from '../../../lib/routes';
