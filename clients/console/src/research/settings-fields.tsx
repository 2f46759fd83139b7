import { NumberField, Options, SelectField } from './fields';
import { COMMISSIONS, inWords, kindOf, SIDES, SIZES, textOf, type Settings } from './settings';

/** Fields for capital, sizes and costs, which are folded into one sentence. */
export function SettingsFields({ settings, onChange }: { settings: Settings; onChange: (changed: Partial<Settings>) => void }) {
  const { capital, size, commission, slippage_ticks, sides, tick_size, lot_step, point_value } = settings;
  const [sizeKind, sizeNumber] = kindOf(size, SIZES);
  const [commissionKind, commissionNumber] = kindOf(commission, COMMISSIONS);
  return (
    <details className="settings">
      <summary>{inWords(settings)}</summary>
      <div className="fields">
        <NumberField label="Capital" value={capital} onCommit={(capital) => onChange({ capital })} />
        <NumberField
          label="Size of an entry"
          value={sizeNumber}
          onCommit={(amount) => onChange({ size: textOf(sizeKind, amount, SIZES) })}
        >
          <Options
            name="Unit of the size"
            value={sizeKind}
            options={SIZES}
            onPick={(kind) => onChange({ size: textOf(kind as typeof sizeKind, sizeNumber, SIZES) })}
          />
        </NumberField>
        <NumberField
          label="Commission of each fill"
          value={commissionNumber}
          onCommit={(amount) => onChange({ commission: textOf(commissionKind, amount, COMMISSIONS) })}
        >
          <Options
            name="Unit of the commission"
            value={commissionKind}
            options={COMMISSIONS}
            onPick={(kind) => onChange({ commission: textOf(kind as typeof commissionKind, commissionNumber, COMMISSIONS) })}
          />
        </NumberField>
        <NumberField
          label="Slippage, ticks"
          title="Market and stop orders fill so many ticks worse; enter half of the spread to count it"
          value={slippage_ticks}
          onCommit={(slippage_ticks) => onChange({ slippage_ticks })}
        />
        <SelectField label="Sides" value={sides} options={SIDES} onPick={(sides) => onChange({ sides })} />
        <NumberField
          label="Tick size"
          placeholder="last digit"
          title="The distance of neighbouring prices; if empty, one in the last digit of the candles"
          value={tick_size}
          onCommit={(tick_size) => onChange({ tick_size })}
        />
        <NumberField label="Lot step" placeholder="0.000001" value={lot_step} onCommit={(lot_step) => onChange({ lot_step })} />
        <NumberField
          label="Point value"
          placeholder="1"
          title="Money that one unit gains when the price rises by 1"
          value={point_value}
          onCommit={(point_value) => onChange({ point_value })}
        />
      </div>
    </details>
  );
}
