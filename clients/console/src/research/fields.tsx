/** Fields whose values are in the address of a view. */
import { useEffect, useState, type ReactNode } from 'react';

type Common = { label: string; title?: string };

/**
 * A number that counts once it is left or entered, so that no request is made of half a number. `name` is for screen readers, where
 * the label alone says too little. A child is shown beside the field.
 */
export function NumberField(props: Common & { value: string; placeholder?: string; name?: string; onCommit: (value: string) => void; children?: ReactNode }) {
  const { label, title, value, placeholder, name, onCommit, children } = props;
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const commit = () => {
    if (text.trim() !== value) onCommit(text.trim());
    // An emptied field has its usual value again.
    if (text.trim() === '') setText(value);
  };
  const input = (
    <input
      className="number"
      aria-label={name}
      inputMode="decimal"
      autoComplete="off"
      value={text}
      placeholder={placeholder}
      onChange={({ target }) => setText(target.value)}
      onBlur={commit}
      onKeyDown={({ key }) => key === 'Enter' && commit()}
    />
  );
  return (
    <label title={title}>
      <span>{label}</span>
      {children ? (
        <span className="joined">
          {input}
          {children}
        </span>
      ) : (
        input
      )}
    </label>
  );
}

export function SelectField(props: Common & { value: string; options: Record<string, string>; onPick: (value: string) => void }) {
  const { label, title, value, options, onPick } = props;
  return (
    <label title={title}>
      <span>{label}</span>
      <Options value={value} options={options} onPick={onPick} />
    </label>
  );
}

/** A select alone; one inside a label with another field needs a `name` for screen readers. */
export function Options(props: { value: string; options: Record<string, string>; onPick: (value: string) => void; name?: string }) {
  const { value, options, onPick, name } = props;
  return (
    <select aria-label={name} value={value} onChange={({ target }) => onPick(target.value)}>
      {!(value in options) && <option value={value}>{value}</option>}
      {Object.entries(options).map(([id, text]) => (
        <option key={id} value={id}>
          {text}
        </option>
      ))}
    </select>
  );
}

/** A date, or none. */
export function DateField(props: Common & { value: string; onPick: (value: string) => void }) {
  const { label, title, value, onPick } = props;
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  return (
    <label title={title}>
      <span>{label}</span>
      <input
        type="date"
        min="1700-01-01"
        max="9999-12-31"
        value={text}
        onChange={({ target }) => {
          setText(target.value);
          // While a year is typed, the field holds the years 0002 and 0020. An empty field counts once it is left.
          if (target.value && target.validity.valid) onPick(target.value);
        }}
        onBlur={() => text === '' && value !== '' && onPick('')}
      />
    </label>
  );
}
