//+------------------------------------------------------------------+
//| CandlewickFeed: sends the terminal's candles to a candlewick.    |
//| How to install and set it up is told in README.md beside it.     |
//|                                                                  |
//| The service is the only memory. A series starts by asking where  |
//| it stands there, then sends everything newer, the newest candles |
//| once more, and what is older down to the wanted depth; whatever  |
//| fails sends it back to the start. Closed candles are stored once |
//| and duplicates cost nothing, so nothing has to be remembered     |
//| here, and nothing is lost when the terminal is closed.           |
//+------------------------------------------------------------------+
#define VERSION "1.00"

#property copyright   "MIT License"
#property version     VERSION
#property description "Sends the terminal's candles to a candlewick service."

enum BROKER_CLOCK {
   CLOCK_NEW_YORK, // US daylight saving (New York + 7)
   CLOCK_EUROPE,   // European daylight saving
   CLOCK_FIXED,    // no daylight saving
   CLOCK_SYDNEY,   // Australian daylight saving (Sydney)
   CLOCK_AUCKLAND, // New Zealand daylight saving (Auckland)
   CLOCK_MEASURED  // as measured (earlier weeks: by the hours of Forex)
};

input group "The service"
input string       Url                 = "";                            // Its address, which the terminal must allow, too
input string       Key                 = "";                            // An ingest key
input int          TimeoutSeconds      = 5;                             // Longest wait for an answer, 1 to 60
input bool         AllowPlainHttp      = false;                         // Accept that others in a private network can read the key

input group "What is sent"
input string       Symbols             = "";                            // NAME or NAME=STORED NAME, by commas; empty: the chart's
input string       Timeframes          = "M1,M5,M15,M30,H1,H4,D1";      // By commas
input int          HistoryCandles      = 10000;                         // Candles of each series that the service should have
input bool         SendForming         = true;                          // Also send the candle that is not closed yet
input int          TimerSeconds        = 5;                             // How often to look for candles, 1 to 3600
input int          BatchSize           = 500;                           // Most candles in one request, 1 to 10000
input int          ResendCandles       = 500;                           // Newest candles to send again at start and hourly
input ENUM_APPLIED_VOLUME VolumeKind   = VOLUME_TICK;                   // Volume of a candle: its ticks, or what was traded

input group "The broker's clock"
input BROKER_CLOCK BrokerClock         = CLOCK_NEW_YORK;                // When it goes forward an hour
input int          BrokerOffsetMinutes = 120;                           // Minutes ahead of UTC in winter (not if as measured)
input bool         IgnoreClockCheck    = false;                         // Send even while the broker's clock contradicts its rule

const int   LAST_WAIT_SECONDS    = 300;     // a pause grows with each failure up to this
const int   LONGEST_WAIT_SECONDS = 3600;    // and lasts no longer than this whatever the service asks for
const int   ALLOW_LIST_SECONDS   = 10;      // asking the terminal's own list costs nobody anything
const int   SYMBOL_WAIT_SECONDS  = 60;
const int   DIGITS_WAIT_SECONDS  = 5;
const int   HISTORY_WAIT_SECONDS = 5;
const int   LONGEST_HISTORY_WAIT_SECONDS = 120; // in vain, then what there is has to do until the next hour
const int   CLOCK_CHECK_SECONDS  = 60;
const int   RECHECK_SECONDS      = 3600;    // after which what the terminal loaded late is looked for
const int   REJECTIONS_TOLD      = 3;       // of one answer
const int   CANDLES_REMEMBERED   = 1000;    // of a series and a kind, so that each is told once
const int   STATUS_LINES         = 25;      // Comment() shows about 2,000 characters
const int   LEAST_OFFSET_MINUTES = -720;
const int   MOST_OFFSET_MINUTES  = 840;
const int   OFFSET_UNKNOWN       = -100000;
const int   WEEKS_TO_AGREE       = 8;
const int   FOREX_SYMBOLS        = 5;       // whose hours are read
const int   CLOCK_RETRY_SECONDS  = 1;       // after the broker's clock changed while candles were copied
const int   CLOCK_STEP_SECONDS   = 300;     // by which this computer's clock is set and not merely corrected
const int   CLOCK_AHEAD_SECONDS  = 60;      // by which a candle may open before the terminal's idea of the broker's clock
const int   LATE_OPENING_MINUTES = 180;     // up to which an opening is suspicious; a later one is a holiday
const int   MEASUREMENTS_KEPT    = 100;
const long  STEP_QUARTERS        = 12;      // quarters of an hour by which a broker's clock is changed at most
const long  STEP_REST            = 10;      // seconds by which such a step may differ from whole quarters
const long  FIRST_SUNDAY         = 536716800;    // 1987-01-04, from when on New York's summer times are known
const long  WEEK_SECONDS         = 604800;
const long  LEAST_WEEKEND        = 46 * 3600;    // seconds; New York's clock and the broker's can each take an hour of the 48
const int   FOREX_HOURS          = 120;          // of a week, in New York and on a clock that does not change within it
const long  LEAST_SILENCE        = 3 * 3600;     // seconds without a candle after which the newest one is taken for the week's last
const long  MOST_BRIDGED         = 17 * 86400;   // seconds: two weeks without proof and the weekends around them
const long  NO_TIME              = -1;
const long  FOR_EVER             = 253402300800; // year 10000
const ulong SECOND               = 1000;

const ENUM_TIMEFRAMES ALL_TIMEFRAMES[] =
{
   PERIOD_M1, PERIOD_M2, PERIOD_M3, PERIOD_M4, PERIOD_M5, PERIOD_M6, PERIOD_M10, PERIOD_M12, PERIOD_M15, PERIOD_M20, PERIOD_M30,
   PERIOD_H1, PERIOD_H2, PERIOD_H3, PERIOD_H4, PERIOD_H6, PERIOD_H8, PERIOD_H12, PERIOD_D1, PERIOD_W1, PERIOD_MN1
};

enum STAGE {
   STAGE_ASK,      // where does the service stand?
   STAGE_BEGIN,    // has the terminal loaded the history to begin with?
   STAGE_CATCH_UP, // send up to now
   STAGE_HISTORY,  // send what is older
   STAGE_LIVE      // send what is new
};

enum OUTCOME {
   OUTCOME_DONE,
   OUTCOME_TOO_LARGE,
   OUTCOME_REFUSED, // sending the same again is pointless
   OUTCOME_FAILED   // the feed pauses or has stopped
};

// Candles that something was told of, the latest CANDLES_REMEMBERED.
struct Remembered {
   datetime times[];
   int      next;           // where the next one is written
};

// Closed candles of one series that the service has with other values.
struct Conflicts {
   Remembered candles;
   int        count;
   bool       cut_off;      // some answer named only its first ones
   int        untold;       // how many the log lacks
   datetime   first_untold;
   string     fields;       // in which the first of these differs
   ulong      told_at;      // 0: never
};

// One symbol in one timeframe. Times of candles are the broker's, as the terminal has them.
struct Series {
   string          symbol;         // at the broker
   string          name;           // at the service
   ENUM_TIMEFRAMES timeframe;
   STAGE           stage;
   datetime        service_last;   // newest closed candle at the service when this round began, 0: none
   datetime        service_last_before; // the same of the last round that was sent wholly
   datetime        sent_up_to;     // newest closed candle that needs no sending, 0: none
   datetime        sent_down_to;   // oldest one
   bool            broken_off;     // while it caught up, so that it goes on at sent_up_to
   datetime        forming;        // the last forming candle that was sent
   long            forming_volume;
   int             most;           // candles in its next request
   ulong           waiting_since;  // for the terminal's history, 0: it does not
   datetime        loaded_from;    // the terminal's oldest candle at the last wait
   ulong           wait_until;
   int             failures;       // in a row
   ulong           asked_at;
   string          note;           // what a person should know about it
   Remembered      rejected;       // candles whose rejection was told
   Conflicts       conflicts;
   bool            early_told;     // that a candle ended before its time
   bool            no_volume_told; // that the broker has no real volume
   bool            walks_whole;    // through all of its history, whatever the service has of it
   bool            rests;          // has no candles while Forex is closed
   datetime        left_out_from;  // the oldest candle that was not sent because its time in UTC is not certain, 0: none
   datetime        left_out_to;    // the newest one
};

// The hours of one Forex week as minutes by which they show the broker's clock ahead of UTC, OFFSET_UNKNOWN: they do not.
struct WeekHours {
   int opening;
   int close;
   int hours;   // that have a candle, from the opening to the close
};

// A stretch of time in UTC, the end exclusive, in which the broker's clock was so many minutes ahead.
struct KnownOffset {
   long from;
   long to;
   int  minutes;
   int  weeks;     // how many prove it
};

Series   g_series[];
int      g_live_turn;     // the series whose turn it was last to send what is new
int      g_turn;          // and the rest
string   g_url;
string   g_headers;
int      g_most;          // candles that the service takes in one request
int      g_most_told;     // the fewest of them that were told
bool     g_has_timer;
bool     g_stopped;       // until the inputs are changed
int      g_failures;      // of the whole feed in a row
ulong    g_pause_until;
string   g_trouble;       // why the feed pauses or has stopped
string   g_told;          // the last trouble in the log, "": it is over
ulong    g_told_at;
string   g_refusal;       // why the last request was refused
ulong    g_clock_check_at;
string   g_clock_warning; // how the broker's clock contradicts the inputs, "": it fits
string   g_clock_told;    // the last such warning in the log, "": none
ulong    g_clock_told_at;
bool     g_fit_told;      // that it fits again since then
int      g_measured;      // minutes by which the broker's clock is ahead of UTC now
// For CLOCK_MEASURED alone:
Series      g_forex[];        // H1 candles of those Forex symbols that are read
KnownOffset g_known[];        // in the order of time
KnownOffset g_measurements[]; // since this computer's clock was set last
bool        g_clock_proven;   // an opening has shown what was measured since then
long        g_clock_start;    // what this computer's clock showed when its ticks began, FOR_EVER: not known yet
long        g_broker_start;   // the same for the broker's clock
long        g_broker_set_at;  // when that was changed last while the EA ran, NO_TIME: never
ulong       g_evidence_due_at;
string      g_clock_note;     // what is left out for now, "": nothing
string      g_note_told;
ulong       g_note_told_at;
int         g_lone_week;      // of the last measurement, for a broker without Forex, -1: none
long        g_lone_from;      // since when they are the same
int         g_lone_measured;  // what they are
bool        g_lone_varied;    // one of this week differs
Remembered  g_gaps_told;      // their ends

//+------------------------------------------------------------------+
//| Events                                                           |
//+------------------------------------------------------------------+
int OnInit() {
   const string mistake = ReadInputs();
   if(mistake != "") {
      Print(mistake);
      Comment(StringFormat("CandlewickFeed does not run: %s", mistake));
      return INIT_PARAMETERS_INCORRECT;
   }
   g_live_turn      = -1;
   g_turn           = -1;
   g_most           = BatchSize;
   g_most_told      = BatchSize;
   g_stopped        = false;
   g_failures       = 0;
   g_pause_until    = 0;
   g_trouble        = "";
   g_told           = "";
   g_told_at        = 0;
   g_clock_check_at = 0;
   g_clock_warning  = "";
   g_clock_told     = "";
   g_fit_told       = true;
   g_measured       = OFFSET_UNKNOWN;
   ForgetEvidence();
   g_has_timer      = EventSetTimer(TimerSeconds);
   if(!g_has_timer)
      Print("the terminal has no timer for the feed yet; it is asked again with each tick of the chart");
   Print(StringFormat("CandlewickFeed %s feeds %d series to %s", VERSION, ArraySize(g_series), g_url));
   ShowStatus();
   return INIT_SUCCEEDED;
}

void OnTick() {
   if(!g_has_timer)
      g_has_timer = EventSetTimer(TimerSeconds);
}

void OnDeinit(const int reason) {
   EventKillTimer();
   // What is wrong with the inputs stays on the chart.
   if(reason != REASON_INITFAILED)
      Comment("");
}

void OnTimer() {
   CheckBrokerClock();
   if(IsConnected()) {
      // Half of the time is the terminal's. What is live may use up its own share only, so that the rest goes on, too.
      const ulong share = (ulong)TimerSeconds * SECOND / 4;
      FeedNewCandles(GetTickCount64() + share);
      FeedTheRest(GetTickCount64() + share);
   }
   else
      StartOver();
   for(int i = 0; i < ArraySize(g_series); i++)
      TellConflicts(SeriesName(g_series[i]), g_series[i].conflicts);
   ShowStatus();
}

bool IsConnected() {
   return TerminalInfoInteger(TERMINAL_CONNECTED) != 0;
}

// A terminal that gets its broker back may show a candle as closed that lacks what it missed, until its history is loaded.
void StartOver() {
   for(int i = 0; i < ArraySize(g_series); i++) {
      g_series[i].stage      = STAGE_ASK;
      g_series[i].broken_off = false;
   }
}

// What is live goes before history, so that a chart stays up to date while years are sent.
void FeedNewCandles(const ulong deadline) {
   for(int i = 0; i < ArraySize(g_series) && MayGoOn(deadline); i++) {
      const int turn = NextTurn(g_live_turn);
      const bool live = g_series[turn].stage == STAGE_HISTORY || g_series[turn].stage == STAGE_LIVE;
      if(live && !Waits(g_series[turn]))
         SendNewer(g_series[turn]);
   }
}

void FeedTheRest(const ulong deadline) {
   bool busy = true;
   while(busy && MayGoOn(deadline)) {
      busy = false;
      for(int i = 0; i < ArraySize(g_series) && MayGoOn(deadline); i++) {
         if(Advance(g_series[NextTurn(g_turn)]))
            busy = true;
      }
   }
}

int NextTurn(int &turn) {
   turn = (turn + 1) % ArraySize(g_series);
   return turn;
}

bool MayGoOn(const ulong deadline) {
   const ulong now = GetTickCount64();
   return !IsStopped() && !g_stopped && ClockFits() && now >= g_pause_until && now < deadline;
}

//+------------------------------------------------------------------+
//| The way of a series. Each step makes one request at most and     |
//| tells whether there is more to do at once.                       |
//+------------------------------------------------------------------+
bool Advance(Series &series) {
   if(Waits(series))
      return false;
   switch(series.stage) {
      case STAGE_ASK:
         return AskService(series);
      case STAGE_BEGIN:
         return Begin(series);
      case STAGE_CATCH_UP:
         return SendNewer(series);
      case STAGE_HISTORY:
         return SendOlder(series);
      case STAGE_LIVE:
         if(GetTickCount64() < series.asked_at + (ulong)RECHECK_SECONDS * SECOND)
            return false;
         // A proxy that took only small requests may have been a passing one.
         g_most       = BatchSize;
         series.most  = BatchSize;
         series.stage = STAGE_ASK;
         return true;
   }
   return false;
}

bool AskService(Series &series) {
   // Only a symbol of Market Watch has its history loaded.
   if(!SymbolSelect(series.symbol, true)) {
      Tell(series, "the broker has no such symbol; write it as Market Watch does");
      return Wait(series, SYMBOL_WAIT_SECONDS);
   }
   string answer;
   const string path = StringFormat("/api/v1/series?symbol=%s&timeframe=%s", UrlEncoded(series.name),
                                    TimeframeName(series.timeframe));
   const OUTCOME outcome = Call(series, "GET", path, "", answer);
   if(outcome == OUTCOME_FAILED)
      return false;
   if(outcome != OUTCOME_DONE) {
      Tell(series, g_refusal);
      return Wait(series, RECHECK_SECONDS);
   }
   const datetime last = CandleTime(answer, "last");
   if(series.sent_up_to == 0 || last < series.sent_up_to)
      series.broken_off = false;
   if(!series.broken_off)
      series.service_last = last;
   if(series.service_last_before == 0)
      series.service_last_before = series.service_last;
   series.sent_down_to = series.walks_whole ? 0 : CandleTime(answer, "first");
   series.asked_at     = GetTickCount64();
   series.forming      = 0;
   series.stage        = STAGE_BEGIN;
   return true;
}

// An incomplete history would leave a hole, because only what is newer or older than the rest is looked for.
bool Begin(Series &series) {
   const bool empty = Bars(series.symbol, series.timeframe) == 0;
   if(empty || SeriesInfoInteger(series.symbol, series.timeframe, SERIES_SYNCHRONIZED) == 0) {
      LoadOlder(series);
      if(!WaitedEnough(series) || empty)
         return WaitForHistory(series);
   }
   if(!series.broken_off && !FindStart(series))
      return WaitForHistory(series);
   series.broken_off    = false;
   series.waiting_since = 0;
   series.note          = "";
   series.stage         = STAGE_CATCH_UP;
   return true;
}

// Sets the candle to begin after: the service's last one, or what it had a round before, because the terminal may have loaded
// some in between late, or the newest ones that are sent again. 0 stands for the very first.
bool FindStart(Series &series) {
   datetime resent = 0;
   datetime oldest = FirstCandle(series);
   if(Bars(series.symbol, series.timeframe) > ResendCandles + 1) {
      MqlRates rates[];
      if(CopyRates(series.symbol, series.timeframe, ResendCandles + 1, 1, rates) != 1)
         return false;
      resent = rates[0].time;
      oldest = rates[0].time;
   }
   datetime last = series.service_last;
   if(series.service_last_before != 0 && series.service_last_before < last)
      last = series.service_last_before;
   series.sent_up_to = last != 0 && last < oldest ? last : resent;
   return true;
}

// Sends candles after the newest one that was sent, oldest first, so that a failure leaves no hole behind.
bool SendNewer(Series &series) {
   const int bars = Bars(series.symbol, series.timeframe);
   // While a terminal synchronizes a series, it shows none of it, and that time does not count.
   if(bars == 0) {
      series.waiting_since = 0;
      return WaitForHistory(series);
   }
   const bool from_start = series.sent_up_to == 0;
   const int position = from_start ? bars : iBarShift(series.symbol, series.timeframe, series.sent_up_to, false);
   if(position < 0)
      return MissNewer(series);
   const int count = (int)MathMin(Most(series), position);
   if(count == 0)
      return CaughtUp(series);

   // With the candle before them, which shows that none was opened and moved the positions since they were counted.
   const int before = from_start ? 0 : 1;
   MqlRates rates[];
   if(CopyRates(series.symbol, series.timeframe, position - count, count + before, rates) != count + before)
      return from_start || !WaitedEnough(series) ? WaitForHistory(series) : MissNewer(series);
   if(!from_start && rates[0].time > series.sent_up_to)
      return false;
   // What is older may still be waited for.
   if(series.stage != STAGE_HISTORY)
      series.waiting_since = 0;

   const bool with_forming = position == count;
   const int closed = with_forming ? count - 1 : count;
   const bool send_forming = with_forming && SendForming && IsNewForming(series, rates[before + count - 1]);
   const int total = send_forming ? count : closed;
   if(total > 0) {
      if(!Send(series, rates, before, total, closed))
         return true;
      if(closed > 0) {
         series.sent_up_to = rates[before + closed - 1].time;
         if(series.sent_down_to == 0)
            series.sent_down_to = rates[before].time;
      }
      if(send_forming) {
         series.forming        = rates[before + count - 1].time;
         series.forming_volume = rates[before + count - 1].tick_volume;
      }
   }
   return with_forming ? CaughtUp(series) : true;
}

bool CaughtUp(Series &series) {
   if(series.stage != STAGE_CATCH_UP)
      return false;
   series.service_last_before = series.service_last;
   series.waiting_since = 0;
   series.stage         = STAGE_HISTORY;
   return true;
}

bool IsNewForming(const Series &series, const MqlRates &rate) {
   return rate.time != series.forming || rate.tick_volume != series.forming_volume;
}

// The terminal's history does not reach back to the newest candle that was sent, or is being rebuilt.
bool MissNewer(Series &series) {
   LoadOlder(series);
   if(!HasAllOfBroker(series) && !WaitedEnough(series))
      return WaitForHistory(series);
   Tell(series, StringFormat("the terminal has nothing from %s to %s, so the service gets a hole there; see Max bars in chart",
                             UtcText(series.sent_up_to), UtcText(FirstCandle(series))));
   series.waiting_since = 0;
   series.sent_up_to    = 0;
   return true;
}

bool SendOlder(Series &series) {
   const int position = iBarShift(series.symbol, series.timeframe, series.sent_down_to, false);
   if(series.sent_down_to == 0 || position >= HistoryCandles)
      return GoLive(series, "");
   MqlRates rates[];
   int copied = 0;
   if(position >= 0) {
      const int count = (int)MathMin(Most(series), HistoryCandles - position);
      copied = CopyRates(series.symbol, series.timeframe, position + 1, count, rates);
   }
   if(copied <= 0) {
      LoadOlder(series);
      if(HasAllOfBroker(series) || WaitedEnough(series))
         return GoLive(series, "all that the terminal has");
      return WaitForHistory(series);
   }
   if(Send(series, rates, 0, copied, copied)) {
      series.sent_down_to  = rates[0].time;
      series.waiting_since = 0;
      series.note          = "";
   }
   return true;
}

bool GoLive(Series &series, const string note) {
   series.waiting_since = 0;
   series.note          = note;
   series.walks_whole   = false;
   series.stage         = STAGE_LIVE;
   return false;
}

//+------------------------------------------------------------------+
//| The terminal's history, which comes when it comes                |
//+------------------------------------------------------------------+
datetime FirstCandle(const Series &series) {
   return (datetime)SeriesInfoInteger(series.symbol, series.timeframe, SERIES_FIRSTDATE);
}

// Asking for a candle beyond those that there are makes the terminal load some.
void LoadOlder(const Series &series) {
   MqlRates rates[];
   CopyRates(series.symbol, series.timeframe, Bars(series.symbol, series.timeframe), 1, rates);
}

// Whether waiting for older candles is pointless.
bool HasAllOfBroker(const Series &series) {
   const long first_of_broker = SeriesInfoInteger(series.symbol, series.timeframe, SERIES_SERVER_FIRSTDATE);
   const long first = (long)FirstCandle(series);
   const bool reaches_first = first > 0 && first_of_broker > 0 && first <= first_of_broker;
   return reaches_first || Bars(series.symbol, series.timeframe) >= TerminalInfoInteger(TERMINAL_MAXBARS);
}

// Whether enough time has passed since the wait began or an older candle came.
bool WaitedEnough(Series &series) {
   const datetime first = FirstCandle(series);
   const bool older_came = first > 0 && (series.loaded_from == 0 || first < series.loaded_from);
   if(series.waiting_since == 0 || older_came)
      series.waiting_since = GetTickCount64();
   series.loaded_from = first;
   return GetTickCount64() >= series.waiting_since + (ulong)LONGEST_HISTORY_WAIT_SECONDS * SECOND;
}

bool WaitForHistory(Series &series) {
   if(series.waiting_since == 0)
      series.waiting_since = GetTickCount64();
   return Wait(series, HISTORY_WAIT_SECONDS);
}

bool Waits(const Series &series) {
   return GetTickCount64() < series.wait_until;
}

bool Wait(Series &series, const int seconds) {
   series.wait_until = GetTickCount64() + (ulong)seconds * SECOND;
   return false;
}

//+------------------------------------------------------------------+
//| Requests                                                         |
//+------------------------------------------------------------------+
// Sends `total` rates from `first` on, of which the first `closed` are closed, and tells whether they need no sending any more.
bool Send(Series &series, const MqlRates &rates[], const int first, const int total, const int closed) {
   return BrokerClock == CLOCK_MEASURED ? SendCertain(series, rates, first, total, closed)
                                        : SendAll(series, rates, first, total, closed);
}

bool SendAll(Series &series, const MqlRates &rates[], const int first, const int total, const int closed) {
   // Prices without their digits would be stored wrong for ever.
   long digits = 0;
   if(!SymbolInfoInteger(series.symbol, SYMBOL_DIGITS, digits))
      return Wait(series, DIGITS_WAIT_SECONDS);
   string answer;
   const string batch = Batch(series, (int)digits, rates, first, total, closed);
   const OUTCOME outcome = Call(series, "POST", "/api/v1/candles", batch, answer);
   if(outcome == OUTCOME_FAILED) {
      series.broken_off = series.stage == STAGE_CATCH_UP;
      series.stage = STAGE_ASK;
      return false;
   }
   if(outcome == OUTCOME_DONE) {
      Recover(series);
      TellRejections(series, rates, first, total, answer);
      NoteConflicts(series, rates, first, total, answer);
      TellEarly(series, rates, first, total, answer);
      TellNoVolume(series, rates, first, closed);
      series.most = (int)MathMin(g_most, series.most * 2);
      return true;
   }
   if(total > 1) {
      series.most = total / 2;
      if(outcome == OUTCOME_TOO_LARGE && series.most < g_most) {
         g_most = series.most;
         if(g_most < g_most_told)
            Print(StringFormat("%s: at most %d candles are sent at once", g_refusal, g_most));
         g_most_told = (int)MathMin(g_most, g_most_told);
      }
      return false;
   }
   TellRejection(series, rates[first].time, g_refusal);
   series.most = g_most;
   return true;
}

// How many candles its next request may hold.
int Most(const Series &series) {
   return (int)MathMin(series.most, g_most);
}

string Batch(const Series &series, const int digits, const MqlRates &rates[], const int first, const int total,
             const int closed) {
   string body = StringFormat("{\"symbol\":\"%s\",\"timeframe\":\"%s\",\"candles\":[", JsonEscaped(series.name),
                              TimeframeName(series.timeframe));
   for(int i = 0; i < total; i++) {
      if(i > 0)
         body += ",";
      body += Candle(rates[first + i], digits, i < closed);
   }
   return body + "]}";
}

string Candle(const MqlRates &rate, const int digits, const bool closed) {
   string candle = StringFormat("{\"timestamp\":%s", IntegerToString((long)ToUtc(rate.time)));
   candle += StringFormat(",\"open\":%s", DoubleToString(rate.open, digits));
   candle += StringFormat(",\"high\":%s", DoubleToString(rate.high, digits));
   candle += StringFormat(",\"low\":%s", DoubleToString(rate.low, digits));
   candle += StringFormat(",\"close\":%s", DoubleToString(rate.close, digits));
   candle += StringFormat(",\"volume\":%s", IntegerToString(VolumeKind == VOLUME_REAL ? rate.real_volume : rate.tick_volume));
   candle += StringFormat(",\"complete\":%s}", closed ? "true" : "false");
   return candle;
}

OUTCOME Call(Series &series, const string method, const string path, const string body, string &answer) {
   char data[];
   char result[];
   string result_headers;
   // The count of bytes includes a terminating 0, which is no part of the text.
   if(body != "")
      ArrayResize(data, StringToCharArray(body, data, 0, WHOLE_ARRAY, CP_UTF8) - 1);
   ResetLastError();
   const int status = WebRequest(method, g_url + path, g_headers, TimeoutSeconds * 1000, data, result, result_headers);
   const int error = GetLastError();
   answer = ArraySize(result) > 0 ? CharArrayToString(result, 0, WHOLE_ARRAY, CP_UTF8) : "";
   const bool success = status >= 200 && status < 300;
   if(success && IsOfService(method, answer))
      return OUTCOME_DONE;
   const string reason = Reason(status, error, answer);
   // Without a code it is not the service that refuses, and what stands before it may think better of it.
   const bool refused = answer == "" || JsonText(answer, "code", 0) != "";
   if(status == 401 || (status == 403 && refused)) {
      g_stopped = true;
      g_trouble = "stopped: " + reason;
      TellTrouble(g_trouble);
      return OUTCOME_FAILED;
   }
   g_refusal = reason;
   if(status == 413)
      return OUTCOME_TOO_LARGE;
   if((status == 400 || status == 415 || status == 422) && refused)
      return OUTCOME_REFUSED;
   const int asked = status == -1 && error == ERR_FUNCTION_NOT_ALLOWED ? ALLOW_LIST_SECONDS : RetryAfter(result_headers);
   // What has nothing to do with this series is spared the others.
   const bool no_answer = status == -1 || status == 1001 || status == 1003;
   if(no_answer || success || status == 403 || status == 429 || status == 503)
      Pause(asked, reason);
   else
      series.note = reason;
   Wait(series, PauseSeconds(asked, series.failures++));
   TellTrouble(reason);
   return OUTCOME_FAILED;
}

// A login page may come with a status of success, too.
bool IsOfService(const string method, const string answer) {
   return method == "GET" ? StringFind(answer, "[") == 0 : answer == "" || StringFind(answer, "{") == 0;
}

// What a person can do about it. 1001 and 1003 are statuses that some terminals report instead of an error.
string Reason(const int status, const int error, const string answer) {
   const string detail = JsonText(answer, "detail", 0);
   if(status == 401)
      return StringFormat("%s does not know the key; correct the input Key%s", g_url, InBrackets(detail));
   if(status == 403 && answer != "" && JsonText(answer, "code", 0) == "")
      return StringFormat("%s answers 403, but not as candlewick does; see what stands before it, such as a firewall", g_url);
   if(status == 403)
      return StringFormat("%s refuses this feed; check that Url begins with https:// and that Key is an ingest key%s", g_url,
                          InBrackets(detail));
   if(status == 1003 || (status == -1 && error == ERR_WEBREQUEST_TIMEOUT))
      return StringFormat("%s does not answer within %d s", g_url, TimeoutSeconds);
   if(status == 1001 || (status == -1 && error == ERR_WEBREQUEST_CONNECT_FAILED))
      return StringFormat("%s cannot be reached; check the name in Url, and that the service runs on port 443 (https) or 80 (http)",
                          g_url);
   if(status == -1 && error == ERR_FUNCTION_NOT_ALLOWED)
      return StringFormat("the terminal may not call %s; add it under Tools > Options > Expert Advisors > Allow WebRequest",
                          g_url);
   if(status == -1 && error == ERR_WEBREQUEST_INVALID_ADDRESS)
      return StringFormat("the terminal cannot read the address %s; correct Url", g_url);
   if(status == -1 && error == ERR_WEBREQUEST_REQUEST_FAILED)
      return StringFormat("the request to %s broke off; check its certificate and that it speaks %s", g_url,
                          StringFind(g_url, "https") == 0 ? "https" : "http");
   if(status == -1)
      return StringFormat("WebRequest to %s failed with error %d", g_url, error);
   if(status >= 200 && status < 300)
      return StringFormat("%s answers, but not as candlewick does; correct Url", g_url);
   return StringFormat("%s answers %d%s", g_url, status, InBrackets(detail));
}

string InBrackets(const string detail) {
   return detail == "" ? "" : StringFormat(" (%s)", detail);
}

void Recover(Series &series) {
   if(g_told != "" && (g_failures > 1 || series.failures > 1)) {
      Print(StringFormat("%s takes candles again", g_url));
      g_told = "";
   }
   g_failures      = 0;
   series.failures = 0;
}

void Pause(const int asked, const string reason) {
   g_pause_until = GetTickCount64() + (ulong)PauseSeconds(asked, g_failures++) * SECOND;
   g_trouble     = reason;
}

// As long as the service asked to be left alone, or longer with each failure if it did not.
int PauseSeconds(const int asked, const int failures) {
   if(asked > 0)
      return (int)MathMin(asked, LONGEST_WAIT_SECONDS);
   return (int)MathMin(5 * (1 << (int)MathMin(failures, 10)), LAST_WAIT_SECONDS);
}

int RetryAfter(const string result_headers) {
   string lines[];
   const int count = StringSplit(result_headers, '\n', lines);
   for(int i = 0; i < count; i++) {
      StringToLower(lines[i]);
      if(StringFind(lines[i], "retry-after:") == 0)
         return (int)StringToInteger(Trimmed(StringSubstr(lines[i], StringLen("retry-after:"))));
   }
   return 0;
}

//+------------------------------------------------------------------+
//| JSON: as much of it as the service's answers need                |
//+------------------------------------------------------------------+
// The time of one series: [{"symbol":"EURUSD","timeframe":"H1","first":1691020800000,"last":1754215200000,...}] or [].
datetime CandleTime(const string answer, const string field) {
   const long milliseconds = JsonNumber(answer, field);
   return milliseconds == 0 ? 0 : FromUtc((datetime)(milliseconds / 1000));
}

// A quote within a text is escaped, so `"field":` can only be a field.
int AfterField(const string json, const string field, const int from) {
   const string name = StringFormat("\"%s\":", field);
   const int found = StringFind(json, name, from);
   return found < 0 ? -1 : found + StringLen(name);
}

long JsonNumber(const string json, const string field) {
   const int start = AfterField(json, field, 0);
   return start < 0 ? 0 : StringToInteger(StringSubstr(json, start, 20));
}

string JsonText(const string json, const string field, const int from) {
   int i = AfterField(json, field, from);
   if(i < 0 || StringGetCharacter(json, i) != '\"')
      return "";
   string text = "";
   for(i++; i < StringLen(json) && StringGetCharacter(json, i) != '\"'; i++) {
      if(StringGetCharacter(json, i) == '\\')
         i++;
      text += ShortToString(StringGetCharacter(json, i));
   }
   return text;
}

// An array with its brackets, "" if there is none. Its texts are skipped, brackets in them too.
string JsonArray(const string json, const string field, const int from) {
   const int start = AfterField(json, field, from);
   if(start < 0 || StringGetCharacter(json, start) != '[')
      return "";
   int depth = 0;
   bool in_text = false;
   for(int i = start; i < StringLen(json); i++) {
      const ushort character = StringGetCharacter(json, i);
      if(in_text && character == '\\')
         i++;
      else if(character == '\"')
         in_text = !in_text;
      else if(!in_text && character == '[')
         depth++;
      else if(!in_text && character == ']' && --depth == 0)
         return StringSubstr(json, start, i + 1 - start);
   }
   return "";
}

// Where the index of the next candle stands in an array of those that an answer names, -1 if there are no more. Only what
// was sent counts.
int NextCandle(const string candles, const int from, const int total) {
   int i = AfterField(candles, "index", from);
   while(i >= 0 && (NumberAt(candles, i) < 0 || NumberAt(candles, i) >= total))
      i = AfterField(candles, "index", i);
   return i;
}

int NumberAt(const string json, const int start) {
   return (int)StringToInteger(StringSubstr(json, start, 10));
}

// ["open","high","close"] as `open, high and close`.
string Listed(const string names) {
   string bare = names;
   StringReplace(bare, "[", "");
   StringReplace(bare, "]", "");
   StringReplace(bare, "\"", "");
   string parts[];
   const int count = StringSplit(bare, ',', parts);
   string listed = "";
   for(int i = 0; i < count; i++)
      listed += (i == 0 ? "" : i == count - 1 ? " and " : ", ") + parts[i];
   return listed;
}

string JsonEscaped(const string text) {
   string escaped = "";
   for(int i = 0; i < StringLen(text); i++) {
      const ushort character = StringGetCharacter(text, i);
      if(character == '\"' || character == '\\')
         escaped += "\\";
      escaped += ShortToString(character);
   }
   return escaped;
}

string UrlEncoded(const string text) {
   uchar bytes[];
   const int count = StringToCharArray(text, bytes, 0, WHOLE_ARRAY, CP_UTF8) - 1;
   string encoded = "";
   for(int i = 0; i < count; i++) {
      const uchar byte = bytes[i];
      const bool letter = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
      const bool plain = letter || (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_';
      encoded += plain ? CharToString(byte) : StringFormat("%%%02X", byte);
   }
   return encoded;
}

//+------------------------------------------------------------------+
//| The broker's clock. Each candle is moved by the offset of its    |
//| own day, not of today.                                           |
//+------------------------------------------------------------------+
// When clocks go back, an hour comes twice. The terminal keeps one candle of each time, and it is taken for one of the first
// pass: taken for one of the second, it would lie in the future while the first lasts.
datetime ToUtc(const datetime broker) {
   if(BrokerClock == CLOCK_MEASURED)
      return (datetime)KnownUtc((long)broker);
   const datetime in_summer = broker - BrokerOffsetMinutes * 60 - 3600;
   return IsSummer(in_summer) ? in_summer : in_summer + 3600;
}

datetime FromUtc(const datetime utc) {
   if(BrokerClock == CLOCK_MEASURED)
      return (datetime)((long)utc + KnownMinutes((long)utc) * 60);
   return utc + OffsetMinutes(utc) * 60;
}

int OffsetMinutes(const datetime utc) {
   return BrokerOffsetMinutes + (IsSummer(utc) ? 60 : 0);
}

bool IsSummer(const datetime utc) {
   MqlDateTime date;
   TimeToStruct(utc, date);
   switch(BrokerClock) {
      case CLOCK_NEW_YORK:
         return IsSummerInNewYork(utc);
      case CLOCK_EUROPE:
         return utc >= SundayFrom(date.year, 3, 25) + 3600 && utc < SundayFrom(date.year, 10, 25) + 3600;
      case CLOCK_SYDNEY:
         return IsSummerInSydney(utc, date.year);
      case CLOCK_AUCKLAND:
         return IsSummerInAuckland(utc, date.year);
      case CLOCK_FIXED:
      case CLOCK_MEASURED:
         return false;
   }
   return false;
}

// 02:00 in New York is 07:00 UTC in winter and 06:00 in summer. Until 2006 the dates were others.
bool IsSummerInNewYork(const datetime utc) {
   MqlDateTime date;
   TimeToStruct(utc, date);
   const datetime start = date.year < 2007 ? SundayFrom(date.year, 4, 1) : SundayFrom(date.year, 3, 8);
   const datetime end = date.year < 2007 ? SundayFrom(date.year, 10, 25) : SundayFrom(date.year, 11, 1);
   return utc >= start + 7 * 3600 && utc < end + 6 * 3600;
}

// 02:00 of the standard time, both ways: 16:00 UTC of the day before. Until 2007 the dates were others, in 2006 because of the
// Commonwealth Games.
bool IsSummerInSydney(const datetime utc, const int year) {
   const bool since_2008 = year >= 2008;
   const datetime end = since_2008 || year == 2006 ? SundayFrom(year, 4, 1) : SundayFrom(year, 3, 25);
   const datetime start = since_2008 ? SundayFrom(year, 10, 1) : SundayFrom(year, 10, 25);
   return utc < end - 8 * 3600 || utc >= start - 8 * 3600;
}

// 02:00 of the standard time, both ways: 14:00 UTC of the day before. Until 2007 the dates were others.
bool IsSummerInAuckland(const datetime utc, const int year) {
   const datetime end = year >= 2008 ? SundayFrom(year, 4, 1) : SundayFrom(year, 3, 15);
   const datetime start = year >= 2007 ? SundayFrom(year, 9, 24) : SundayFrom(year, 10, 1);
   return utc < end - 10 * 3600 || utc >= start - 10 * 3600;
}

// Midnight of the first Sunday on or after a day.
datetime SundayFrom(const int year, const int month, const int day) {
   MqlDateTime date;
   ZeroMemory(date);
   date.year = year;
   date.mon  = month;
   date.day  = day;
   const datetime time = StructToTime(date);
   TimeToStruct(time, date);
   return time + (7 - date.day_of_week) % 7 * 86400;
}

// Whether candles may be sent: a wrong time would be stored for ever.
bool ClockFits() {
   const bool ignored = IgnoreClockCheck && BrokerClock != CLOCK_MEASURED;
   return g_measured != OFFSET_UNKNOWN && (g_clock_warning == "" || ignored);
}

void CheckBrokerClock() {
   if(GetTickCount64() < g_clock_check_at || !IsConnected())
      return;
   g_clock_check_at = GetTickCount64() + (ulong)CLOCK_CHECK_SECONDS * SECOND;
   const datetime utc = TimeGMT();
   g_measured = Measured(utc);
   g_clock_warning = BrokerClock == CLOCK_MEASURED ? MeasuredClockWarning((long)utc) : ClockWarning(utc);
   TellClock();
}

// Offsets are quarters of an hour; what is left over is the two clocks' inaccuracy.
int Measured(const datetime utc) {
   return (int)MathRound((double)((long)TimeTradeServer() - (long)utc) / 900) * 15;
}

// A clock on the verge of fitting, which changes its mind each minute, is told of once an hour.
void TellClock() {
   const ulong now = GetTickCount64();
   if(g_clock_warning == "") {
      if(!g_fit_told)
         Print("the broker's clock fits the inputs now, so candles are sent");
      g_fit_told = true;
   }
   else if(g_clock_warning != g_clock_told || now >= g_clock_told_at + (ulong)RECHECK_SECONDS * SECOND) {
      Print(g_clock_warning);
      g_clock_told    = g_clock_warning;
      g_clock_told_at = now;
      g_fit_told      = false;
   }
}

string ClockWarning(const datetime utc) {
   const string consequence = IgnoreClockCheck ? "candles are sent all the same, as IgnoreClockCheck says, with times that may be wrong"
                                               : "nothing is sent until they agree";
   const int expected = OffsetMinutes(utc);
   if(g_measured == expected)
      return "";
   const int in_winter = g_measured - (IsSummer(utc) ? 60 : 0);
   // A clock that is a few minutes off looks like an offset that none has.
   const string advice = in_winter % 30 == 0
      ? StringFormat("set BrokerOffsetMinutes to %d or choose another BrokerClock if it has been so for more than a day", in_winter)
      : "BrokerOffsetMinutes if the broker really is a quarter of an hour off";
   return StringFormat("the broker's clock is %d minutes ahead of UTC and not %d as the inputs say, so %s; correct this computer's clock, "
                       "or %s", g_measured, expected, consequence, advice);
}

//+------------------------------------------------------------------+
//| CLOCK_MEASURED, for brokers whose clock follows no offered rule. |
//|                                                                  |
//| Forex opens on Sunday and closes on Friday, both at 17:00 in New |
//| York. A symbol's first candle of a week may be late (a holiday,  |
//| other hours, a hole in the history) and its last one early, not  |
//| the other way round. So an opening shows the broker's clock as   |
//| far ahead of UTC as it was or farther, and a close as far or     |
//| less. Where both show the same, that is the offset of the week;  |
//| one of them alone proves nothing. But if the clock went forward  |
//| within the week, an opening that was late by as much shows the   |
//| same as the close. Such a week lacks an hour, so the first week  |
//| of a greater offset is a proof only if none of its 120 hours is  |
//| without a candle.                                                |
//|                                                                  |
//| Up to two weeks without proof have the offset of those on both   |
//| sides if that is the same. Other candles are left out, because a |
//| wrong time would be stored for ever: those of the weekend on     |
//| which the clock changed, if it was not measured meanwhile.       |
//| Today's offset is the measured one once this week's opening and  |
//| the last proven week show it, and as long as nobody sets this    |
//| computer's clock. Candles of hours show offsets of whole hours   |
//| only; a clock of half hours proves nothing.                      |
//+------------------------------------------------------------------+
void ForgetEvidence() {
   ArrayResize(g_forex, 0);
   ArrayResize(g_known, 0);
   ArrayResize(g_measurements, 0);
   g_clock_proven    = false;
   g_clock_start     = FOR_EVER;
   g_broker_start    = FOR_EVER;
   g_broker_set_at   = NO_TIME;
   g_evidence_due_at = 0;
   g_clock_note      = "";
   g_note_told       = "";
   g_lone_week       = -1;
   g_lone_varied     = false;
   Forget(g_gaps_told);
}

// Why nothing may be sent, "" if candles of g_known may.
string MeasuredClockWarning(const long utc) {
   RememberMeasurement(utc);
   if(GetTickCount64() < g_evidence_due_at)
      return g_clock_warning;
   FindForexSymbols();
   if(!HoursAreLoaded() && ArraySize(g_known) == 0) {
      g_clock_check_at = GetTickCount64() + (ulong)HISTORY_WAIT_SECONDS * SECOND;
      return WaitsForHours();
   }
   g_clock_note = "";
   KnownOffset known[];
   const string warning = ReadKnown(utc, known);
   if(warning == "")
      TakeKnown(known);
   // What is missing or contradictory now may be there in a minute.
   const bool settled = warning == "" && g_clock_note == "";
   g_evidence_due_at = GetTickCount64() + (ulong)(settled ? RECHECK_SECONDS : CLOCK_CHECK_SECONDS) * SECOND;
   TellNote();
   return warning;
}

string WaitsForHours() {
   return "nothing is sent until the terminal has loaded the hours of its Forex symbols, which show how far the broker's clock is ahead "
          "of UTC; a BrokerClock with a rule needs none";
}

string ReadKnown(const long utc, KnownOffset &known[]) {
   if(g_measured < LEAST_OFFSET_MINUTES || g_measured > MOST_OFFSET_MINUTES)
      return StringFormat("the broker's clock is %d minutes ahead of UTC, which no clock is, so nothing is sent; correct this "
                          "computer's clock", g_measured);
   WeekHours weeks[];
   ResizeWeeks(weeks, WeekOf(utc) + 2);
   bool found = false;
   bool missing = false;
   for(int i = 0; i < ArraySize(g_forex); i++) {
      datetime times[];
      const int bars = Bars(g_forex[i].symbol, PERIOD_H1);
      const int count = bars > 0 ? CopyTime(g_forex[i].symbol, PERIOD_H1, 0, bars, times) : 0;
      if(count < 2) {
         missing = true;
         continue;
      }
      const long now = (long)TimeTradeServer();
      if((long)times[count - 1] > now + CLOCK_AHEAD_SECONDS)
         return StringFormat("%s has a candle of %s by the broker's clock, which is later than now, so nothing is sent; correct this "
                             "computer's clock", g_forex[i].symbol, BrokerText(times[count - 1]));
      WeekHours own[];
      ResizeWeeks(own, ArraySize(weeks));
      ReadHours(times, count, now, own);
      g_forex[i].rests = HasProof(own, WeekOf(utc) - WEEKS_TO_AGREE);
      if(HasProof(own, 0) || !CanBeJudged(own)) {
         Combine(weeks, own);
         found = true;
      }
   }
   MarkResting();
   if(!found && missing)
      return WaitsForHours();
   return found ? WeighWeeks(utc, weeks, known) : WeighNothing(known);
}

// --- Forex symbols and their hours ---

// Those that are fed, then those of Market Watch.
void FindForexSymbols() {
   for(int i = 0; i < ArraySize(g_series); i++) {
      if(SymbolSelect(g_series[i].symbol, true))
         AddForexSymbol(g_series[i].symbol);
   }
   const int total = SymbolsTotal(true);
   for(int i = 0; i < total; i++)
      AddForexSymbol(SymbolName(i, true));
}

void AddForexSymbol(const string symbol) {
   const int count = ArraySize(g_forex);
   for(int i = 0; i < count; i++) {
      if(g_forex[i].symbol == symbol)
         return;
   }
   long mode = 0;
   long is_custom = 0;
   if(count >= FOREX_SYMBOLS || !SymbolInfoInteger(symbol, SYMBOL_TRADE_CALC_MODE, mode) ||
      !SymbolInfoInteger(symbol, SYMBOL_CUSTOM, is_custom))
      return;
   // A custom symbol may have the times of any clock.
   if(is_custom != 0)
      return;
   if(mode != SYMBOL_CALC_MODE_FOREX && mode != SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE)
      return;
   ArrayResize(g_forex, count + 1);
   g_forex[count].symbol        = symbol;
   g_forex[count].timeframe     = PERIOD_H1;
   g_forex[count].waiting_since = 0;
   g_forex[count].loaded_from   = 0;
   g_forex[count].rests         = false;
}

// Whether waiting for more of them is pointless: each symbol has all, or none came for long. One of them must have some.
bool HoursAreLoaded() {
   bool waits = false;
   bool any = ArraySize(g_forex) == 0;
   for(int i = 0; i < ArraySize(g_forex); i++) {
      const bool empty = Bars(g_forex[i].symbol, PERIOD_H1) == 0;
      any = any || !empty;
      if(!empty && HasAllOfBroker(g_forex[i]))
         continue;
      LoadOlder(g_forex[i]);
      if(!WaitedEnough(g_forex[i]))
         waits = true;
   }
   return any && !waits;
}

void ResizeWeeks(WeekHours &weeks[], const int count) {
   ArrayResize(weeks, count);
   for(int i = 0; i < count; i++) {
      weeks[i].opening = OFFSET_UNKNOWN;
      weeks[i].close   = OFFSET_UNKNOWN;
      weeks[i].hours   = 0;
   }
}

// A weekend lies between a close and an opening; after the newest candle, a few hours without another one show a close.
void ReadHours(const datetime &times[], const int total, const long now, WeekHours &weeks[]) {
   int first = 0;
   for(int i = 1; i <= total; i++) {
      const long closed = (long)times[i - 1] + 3600;
      const long opened = i < total ? (long)times[i] : now;
      if(opened - closed < (i < total ? LEAST_WEEKEND : LEAST_SILENCE))
         continue;
      ReadClose(closed, i - first, weeks);
      first = i;
      if(i < total)
         ReadOpening(opened, weeks);
   }
}

void ReadOpening(const long broker, WeekHours &weeks[]) {
   const int week = WeekOf(broker - LEAST_OFFSET_MINUTES * 60);
   if(week < 0 || week >= ArraySize(weeks))
      return;
   const int minutes = OffsetBetween(broker, ForexOpening(week));
   if(minutes != OFFSET_UNKNOWN)
      weeks[week].opening = minutes;
}

void ReadClose(const long broker, const int hours, WeekHours &weeks[]) {
   const int week = WeekOf(broker - LEAST_OFFSET_MINUTES * 60);
   if(week < 0 || week >= ArraySize(weeks))
      return;
   const int minutes = OffsetBetween(broker, ForexClose(week));
   if(minutes != OFFSET_UNKNOWN) {
      weeks[week].close = minutes;
      weeks[week].hours = hours;
   }
}

int OffsetBetween(const long broker, const long utc) {
   const long minutes = (broker - utc) / 60;
   return minutes >= LEAST_OFFSET_MINUTES && minutes <= MOST_OFFSET_MINUTES ? (int)minutes : OFFSET_UNKNOWN;
}

// A symbol of which no week proves an offset keeps other hours than Forex, once there are two weeks to judge it by.
bool HasProof(const WeekHours &weeks[], const int since) {
   for(int i = MathMax(since, 0); i < ArraySize(weeks); i++) {
      if(IsProof(weeks[i]))
         return true;
   }
   return false;
}

bool CanBeJudged(const WeekHours &weeks[]) {
   int whole = 0;
   for(int i = 0; i < ArraySize(weeks); i++) {
      if(weeks[i].opening != OFFSET_UNKNOWN && weeks[i].close != OFFSET_UNKNOWN)
         whole++;
   }
   return whole >= 2;
}

// The earliest opening and the latest close of all symbols come nearest to those of Forex.
void Combine(WeekHours &weeks[], const WeekHours &own[]) {
   for(int i = 0; i < ArraySize(weeks); i++) {
      if(own[i].opening != OFFSET_UNKNOWN && (weeks[i].opening == OFFSET_UNKNOWN || own[i].opening < weeks[i].opening))
         weeks[i].opening = own[i].opening;
      if(own[i].close != OFFSET_UNKNOWN && own[i].close > weeks[i].close)
         weeks[i].close = own[i].close;
      weeks[i].hours = MathMax(weeks[i].hours, own[i].hours);
   }
}

void MarkResting() {
   for(int i = 0; i < ArraySize(g_series); i++) {
      g_series[i].rests = false;
      for(int j = 0; j < ArraySize(g_forex); j++) {
         if(g_forex[j].symbol == g_series[i].symbol)
            g_series[i].rests = g_forex[j].rests;
      }
   }
}

bool IsProof(const WeekHours &week) {
   return week.opening != OFFSET_UNKNOWN && week.opening == week.close;
}

// An opening that is too early or a close that is too late: the clock went forward within the week, or these are not Forex hours.
bool IsContradiction(const WeekHours &week) {
   return week.opening != OFFSET_UNKNOWN && week.close != OFFSET_UNKNOWN && week.opening < week.close;
}

// Whether the clock may have gone forward in a week, because the proof before it, if there is one, has less or is long ago.
bool MayHaveRisen(const WeekHours &weeks[], const int before, const int week) {
   return before < 0 || week - before > 3 || weeks[week].opening > weeks[before].opening;
}

// The week that opened last, -1 before 1987.
int WeekOf(const long utc) {
   if(utc < FIRST_SUNDAY + 22 * 3600)
      return -1;
   const int week = (int)((utc - FIRST_SUNDAY) / WEEK_SECONDS);
   return utc < ForexOpening(week) ? week - 1 : week;
}

long ForexOpening(const int week) {
   return InNewYork(FIRST_SUNDAY + week * WEEK_SECONDS);
}

long ForexClose(const int week) {
   return InNewYork(FIRST_SUNDAY + week * WEEK_SECONDS + 5 * 86400);
}

// 17:00 of a day in New York.
long InNewYork(const long day) {
   const long in_winter = day + 22 * 3600;
   return IsSummerInNewYork((datetime)in_winter) ? in_winter - 3600 : in_winter;
}

// --- What the hours prove ---

string WeighWeeks(const long utc, const WeekHours &weeks[], KnownOffset &known[]) {
   const int week = WeekOf(utc);
   int newest = -1;
   int before = -1;
   for(int i = 0; i <= week; i++) {
      const bool proof = IsProof(weeks[i]);
      if(proof && (weeks[i].hours == FOREX_HOURS || !MayHaveRisen(weeks, before, i))) {
         Insert(known, ForexOpening(i), ForexClose(i), weeks[i].opening, 1);
         newest = i;
      }
      else if(proof || IsContradiction(weeks[i]))
         Insert(known, ForexOpening(i), ForexClose(i), OFFSET_UNKNOWN, 0);
      // The close of a week that may have changed shows the offset that the next one begins with.
      if(proof)
         before = i;
   }
   Join(known);
   const int agreeing = DropFewWeeks(known, ForexOpening(week) - MOST_BRIDGED);

   const int last = newest < 0 ? OFFSET_UNKNOWN : weeks[newest].opening;
   const int opening = utc < ForexClose(week) ? weeks[week].opening : OFFSET_UNKNOWN;
   const bool opened = opening == g_measured;
   if(opened && !g_clock_proven && g_broker_set_at >= ForexOpening(week))
      return "nothing is sent until the Forex week opens, because this computer's clock and the broker's were both changed in this week; a "
             "BrokerClock with a rule sends at once";
   if(last == OFFSET_UNKNOWN && opening == OFFSET_UNKNOWN)
      return WeighNothing(known);
   // An opening alone may be an hour late on the day on which this computer's clock is an hour wrong. What was measured since an
   // earlier proof cannot.
   if(last != OFFSET_UNKNOWN && last != g_measured && !(opened && g_clock_proven))
      return Contradiction(last);
   const bool suspicious = opening != OFFSET_UNKNOWN && opening <= g_measured + LATE_OPENING_MINUTES;
   if(!opened && (last == OFFSET_UNKNOWN || (suspicious && !g_clock_proven)))
      return Contradiction(opening);
   // Two weeks of holidays may lie between a proof and this week's opening.
   if(last != OFFSET_UNKNOWN && !g_clock_proven && newest < week - (opened ? 3 : 1))
      return "nothing is sent until the Forex week opens or closes, because neither this week nor the last one shows how far the "
             "broker's clock is ahead of UTC; a BrokerClock with a rule sends at once";
   if(opened && last == g_measured)
      g_clock_proven = true;

   if(opened)
      Insert(known, ForexOpening(week), FOR_EVER, g_measured, 0);
   else if(g_clock_proven)
      Insert(known, utc, FOR_EVER, g_measured, 0);
   else
      g_clock_note = StringFormat("candles since %s UTC wait for the Forex week to open, which shows whether the broker's clock has "
                                  "changed; a BrokerClock with a rule sends them at once", BrokerText((datetime)ForexClose(newest)));
   if(g_clock_proven && !AddMeasurements(known))
      return "nothing is sent for a minute, because the hours of Forex contradict what was measured before";
   RemoveUnknown(known);
   if(agreeing < WEEKS_TO_AGREE)
      KeepFrom(known, ForexOpening(week));
   return "";
}

// Only this week is sent, and only if the same was measured all the time.
string WeighNothing(KnownOffset &known[]) {
   if(g_lone_varied)
      return "nothing is sent until the Forex week opens, because the broker's clock or this computer's was changed in this week and no "
             "Forex symbol shows which; choose a BrokerClock with a rule, or add a pair such as EURUSD to Market Watch";
   ArrayResize(known, 0);
   Insert(known, g_lone_from, FOR_EVER, g_measured, 0);
   NoteOnlyThisWeek();
   return "";
}

void NoteOnlyThisWeek() {
   g_clock_note = StringFormat("only candles of this week are sent, because no Forex symbol shows in %d weeks how far the broker's clock "
                               "was ahead of UTC before; choose a BrokerClock with a rule, or add a pair such as EURUSD to Market "
                               "Watch", WEEKS_TO_AGREE);
}

string Contradiction(const int shown) {
   return StringFormat("the broker's clock is %d minutes ahead of UTC by this computer's clock, but %d by the hours of Forex, so nothing "
                       "is sent until they agree; correct this computer's clock, or choose a BrokerClock with a rule. If the "
                       "broker's clock has just changed, they agree once the Forex week has opened, or closed after a restart",
                       g_measured, shown);
}

void Insert(KnownOffset &list[], const long from, const long to, const int minutes, const int weeks) {
   int i = ArraySize(list);
   ArrayResize(list, i + 1);
   for(; i > 0 && list[i - 1].from > from; i--)
      list[i] = list[i - 1];
   list[i].from    = from;
   list[i].to      = to;
   list[i].minutes = minutes;
   list[i].weeks   = weeks;
}

void Join(KnownOffset &list[]) {
   int count = 0;
   for(int i = 0; i < ArraySize(list); i++) {
      const bool joins = count > 0 && list[i].minutes != OFFSET_UNKNOWN && list[i].minutes == list[count - 1].minutes &&
                         list[i].from - list[count - 1].to <= MOST_BRIDGED;
      if(joins) {
         list[count - 1].to     = MathMax(list[count - 1].to, list[i].to);
         list[count - 1].weeks += list[i].weeks;
      }
      else
         list[count++] = list[i];
   }
   ArrayResize(list, count);
}

// A few weeks unlike those around them may have been traded at other hours. Only the newest may be few, because the clock may just
// have changed, as the measurement confirms. What is dropped stays in the list as unknown, so that nothing is joined across it.
// Returns how many weeks are left.
int DropFewWeeks(KnownOffset &list[], const long recent) {
   bool may_be_few = true;
   int left = 0;
   for(int i = ArraySize(list) - 1; i >= 0; i--) {
      if(list[i].minutes == OFFSET_UNKNOWN)
         continue;
      may_be_few = may_be_few && list[i].to >= recent;
      if(list[i].weeks < WEEKS_TO_AGREE && !may_be_few)
         list[i].minutes = OFFSET_UNKNOWN;
      else
         left += list[i].weeks;
      may_be_few = false;
   }
   return left;
}

// Whether what was measured while the EA ran contradicts no proof.
bool AddMeasurements(KnownOffset &list[]) {
   for(int i = 0; i < ArraySize(g_measurements); i++)
      Insert(list, g_measurements[i].from, g_measurements[i].to + 1, g_measurements[i].minutes, 0);
   Join(list);
   int before = -1;
   for(int i = 0; i < ArraySize(list); i++) {
      if(list[i].minutes == OFFSET_UNKNOWN)
         continue;
      if(before >= 0 && list[i].from < list[before].to && list[i].minutes != list[before].minutes) {
         ForgetMeasurements();
         return false;
      }
      before = i;
   }
   return true;
}

void RemoveUnknown(KnownOffset &list[]) {
   int count = 0;
   for(int i = 0; i < ArraySize(list); i++) {
      if(list[i].minutes != OFFSET_UNKNOWN)
         list[count++] = list[i];
   }
   ArrayResize(list, count);
}

void KeepFrom(KnownOffset &list[], const long from) {
   int count = 0;
   for(int i = 0; i < ArraySize(list); i++) {
      if(list[i].to <= from)
         continue;
      list[count]      = list[i];
      list[count].from = MathMax(list[count].from, from);
      count++;
   }
   ArrayResize(list, count);
   NoteOnlyThisWeek();
}

// A series that left something out starts again, because that may be known now.
void TakeKnown(const KnownOffset &known[]) {
   bool same = ArraySize(known) == ArraySize(g_known);
   for(int i = 0; same && i < ArraySize(known); i++)
      same = known[i].from == g_known[i].from && known[i].to == g_known[i].to && known[i].minutes == g_known[i].minutes;
   if(same)
      return;
   ArrayResize(g_known, ArraySize(known));
   for(int i = 0; i < ArraySize(known); i++)
      g_known[i] = known[i];
   for(int i = 0; i < ArraySize(g_series); i++) {
      if(g_series[i].left_out_from == 0)
         continue;
      g_series[i].left_out_from = 0;
      g_series[i].left_out_to   = 0;
      g_series[i].walks_whole   = true;
      g_series[i].broken_off    = false;
      g_series[i].stage         = STAGE_ASK;
   }
}

// --- What is measured ---

// Remembers it, because it shows when the clock changed once the openings before and after have proven it.
void RememberMeasurement(const long utc) {
   const bool was_set = ClockWasSet(utc);
   NoteBrokerStep(utc);
   g_clock_start = utc - TickSeconds();
   if(was_set) {
      ForgetMeasurements();
      g_evidence_due_at = 0;
   }
   RememberWeek(utc, was_set);
   const int count = ArraySize(g_measurements);
   if(count > 0 && g_measurements[count - 1].minutes == g_measured) {
      g_measurements[count - 1].to = utc;
      return;
   }
   if(count == MEASUREMENTS_KEPT) {
      for(int i = 1; i < count; i++)
         g_measurements[i - 1] = g_measurements[i];
      ArrayResize(g_measurements, count - 1);
   }
   Insert(g_measurements, utc, utc, g_measured, 0);
   g_evidence_due_at = 0;
}

// For a broker without Forex: since when the same was measured. What is measured first on a weekend says nothing of the days before
// it, because clocks change then.
void RememberWeek(const long utc, const bool was_set) {
   const int week = WeekOf(utc);
   const bool differs = was_set || g_measured != g_lone_measured;
   const bool begins = g_lone_week < 0 || (week != g_lone_week && (differs || g_lone_varied));
   if(begins) {
      g_lone_from     = utc < ForexClose(week) ? ForexOpening(week) : utc;
      g_lone_measured = g_measured;
   }
   g_lone_varied = !begins && (differs || g_lone_varied);
   g_lone_week   = week;
}

void ForgetMeasurements() {
   ArrayResize(g_measurements, 0);
   g_clock_proven = false;
}

// Whether this computer's clock was set since the last measurement: then it may be wrong by as much as the broker's changed.
bool ClockWasSet(const long utc) {
   const long step = utc - TickSeconds() - g_clock_start;
   return g_clock_start != FOR_EVER && (step > CLOCK_STEP_SECONDS || step < -CLOCK_STEP_SECONDS);
}

// An opening says nothing of the time after such a step, even if this computer's clock was changed by as much at the same time. A
// pause of the ticks, as while some computers sleep, looks like a step, too, but seldom like one of quarters of an hour.
void NoteBrokerStep(const long utc) {
   const long start = (long)TimeTradeServer() - TickSeconds();
   const long step = g_broker_start == FOR_EVER ? 0 : start - g_broker_start;
   const long quarters = (long)MathRound((double)step / 900);
   const long rest = step - quarters * 900;
   if(quarters != 0 && quarters <= STEP_QUARTERS && quarters >= -STEP_QUARTERS && rest <= STEP_REST && rest >= -STEP_REST) {
      // The later of what this computer's clock shows and what it would show had it not been set.
      const long unset = g_clock_start + TickSeconds();
      g_broker_set_at = MathMax(utc, unset);
   }
   g_broker_start = start;
}

long TickSeconds() {
   return (long)(GetTickCount64() / SECOND);
}

// --- Candles ---

// Sends those whose time in UTC is certain. The clocks are looked at after the candles were copied, because they may have changed
// since the last look.
bool SendCertain(Series &series, const MqlRates &rates[], const int first, const int total, const int closed) {
   const datetime utc = TimeGMT();
   if(Measured(utc) != g_measured || ClockWasSet((long)utc)) {
      g_clock_check_at = 0;
      return Wait(series, CLOCK_RETRY_SECONDS);
   }
   const datetime newest = rates[first + total - 1].time;
   if((long)newest > (long)TimeTradeServer() + CLOCK_AHEAD_SECONDS) {
      Tell(series, StringFormat("the candle of %s by the broker's clock is later than now, so nothing is sent; correct this computer's "
                                "clock", BrokerText(newest)));
      return Wait(series, CLOCK_CHECK_SECONDS);
   }
   MqlRates certain[];
   ArrayResize(certain, total);
   int count = 0;
   int certain_closed = 0;
   for(int i = 0; i < total; i++) {
      if(!IsCertain(series, (long)rates[first + i].time)) {
         LeaveOut(series, rates[first + i].time);
         continue;
      }
      certain[count++] = rates[first + i];
      if(i < closed)
         certain_closed++;
   }
   return count == 0 || SendAll(series, certain, 0, count, certain_closed);
}

bool IsCertain(const Series &series, const long broker) {
   return KnownUtc(broker) != NO_TIME && !IsTwice(broker, series.rests);
}

// NO_TIME if it is not known.
long KnownUtc(const long broker) {
   for(int i = 0; i < ArraySize(g_known); i++) {
      const long utc = broker - g_known[i].minutes * 60;
      if(utc >= g_known[i].from && utc < g_known[i].to)
         return utc;
   }
   return NO_TIME;
}

// Whether the clock may have shown a time twice, because it went back between two stretches. A symbol that rests has no candles
// on the weekend on which that happened.
bool IsTwice(const long broker, const bool rests) {
   for(int i = 1; i < ArraySize(g_known); i++) {
      const long before = g_known[i - 1].to;
      const long after = g_known[i].from;
      const bool weekend = before >= ForexClose(WeekOf(before)) && after <= ForexOpening(WeekOf(before) + 1);
      if(!(weekend && rests) && broker >= before + g_known[i].minutes * 60 && broker < after + g_known[i - 1].minutes * 60)
         return true;
   }
   return false;
}

// The offset at a time; between two stretches the smaller one, so that a series goes on too early rather than too late.
int KnownMinutes(const long utc) {
   int minutes = g_measured;
   for(int i = ArraySize(g_known) - 1; i >= 0; i--) {
      minutes = utc < g_known[i].to ? g_known[i].minutes : (int)MathMin(minutes, g_known[i].minutes);
      if(utc >= g_known[i].from)
         break;
   }
   return minutes;
}

// Each range is told once, for the first candle in it.
void LeaveOut(Series &series, const datetime time) {
   if(series.left_out_from == 0 || time < series.left_out_from)
      series.left_out_from = time;
   if(time > series.left_out_to)
      series.left_out_to = time;
   const int count = ArraySize(g_known);
   for(int i = 0; i <= count; i++) {
      const long from = i == 0 ? 0 : g_known[i - 1].to + 60 * MathMin(g_known[i - 1].minutes, g_known[i < count ? i : i - 1].minutes);
      const long to = i == count ? FOR_EVER : g_known[i].from + 60 * MathMax(g_known[i].minutes, g_known[i > 0 ? i - 1 : i].minutes);
      if((long)time < from || (long)time >= to)
         continue;
      if(Remember(g_gaps_told, (datetime)(i == count ? from : to)))
         TellGap(series, time, from, to);
      return;
   }
}

void TellGap(const Series &series, const datetime time, const long from, const long to) {
   const string since = from == 0 ? "" : StringFormat(" from %s", BrokerText((datetime)from));
   const string until = to == FOR_EVER ? "" : StringFormat(" up to %s", BrokerText((datetime)to));
   Print(StringFormat("candles%s%s by the broker's clock are left out, such as that of %s of %s, because it is not certain how far that "
                      "clock was ahead of UTC; a BrokerClock with a rule sends them", since, until, BrokerText(time), SeriesName(series)));
}

// In the log once an hour.
void TellNote() {
   const ulong now = GetTickCount64();
   const bool lately = g_clock_note == g_note_told && now < g_note_told_at + (ulong)RECHECK_SECONDS * SECOND;
   if(g_clock_note == "" || lately)
      return;
   Print(g_clock_note);
   g_note_told    = g_clock_note;
   g_note_told_at = now;
}

//+------------------------------------------------------------------+
//| What is told: in the log once (a trouble that lasts, hourly), on |
//| the chart always                                                 |
//+------------------------------------------------------------------+
void TellTrouble(const string trouble) {
   if(trouble == g_told && GetTickCount64() < g_told_at + (ulong)RECHECK_SECONDS * SECOND)
      return;
   Print(trouble);
   g_told    = trouble;
   g_told_at = GetTickCount64();
}

void Tell(Series &series, const string note) {
   if(note != series.note)
      Print(StringFormat("%s: %s", SeriesName(series), note));
   series.note = note;
}

void TellRejections(Series &series, const MqlRates &rates[], const int first, const int total, const string answer) {
   const string rejected = JsonArray(answer, "rejected", 0);
   int told = 0;
   for(int i = NextCandle(rejected, 0, total); i >= 0 && told < REJECTIONS_TOLD; i = NextCandle(rejected, i, total)) {
      if(TellRejection(series, rates[first + NumberAt(rejected, i)].time, JsonText(rejected, "msg", i)))
         told++;
   }
   if(told == REJECTIONS_TOLD)
      Print(StringFormat("%s: of this request %s candles are not stored", SeriesName(series),
                         IntegerToString(JsonNumber(answer, "records_rejected"))));
}

// A candle that is rejected is sent again with the newest ones, but told only once.
bool TellRejection(Series &series, const datetime time, const string reason) {
   if(!Remember(series.rejected, time))
      return false;
   Print(StringFormat("%s: the candle of %s is not stored: %s", SeriesName(series), UtcText(time), reason));
   return true;
}

// A candle that conflicts is sent again with the newest ones, too, but counts only once.
void NoteConflicts(Series &series, const MqlRates &rates[], const int first, const int total, const string answer) {
   const string list = JsonArray(answer, "conflicts", 0);
   int named = 0;
   for(int i = NextCandle(list, 0, total); i >= 0; i = NextCandle(list, i, total)) {
      named++;
      NoteConflict(series.conflicts, rates[first + NumberAt(list, i)].time, JsonArray(list, "fields", i));
   }
   if(JsonNumber(answer, "records_conflicting") > named)
      series.conflicts.cut_off = true;
}

void NoteConflict(Conflicts &conflicts, const datetime time, const string fields) {
   if(!Remember(conflicts.candles, time))
      return;
   if(conflicts.untold == 0 || time < conflicts.first_untold) {
      conflicts.first_untold = time;
      conflicts.fields       = Listed(fields);
   }
   conflicts.count++;
   conflicts.untold++;
}

// At once, and then hourly, because two terminals that feed one name disagree about nearly every candle.
void TellConflicts(const string series, Conflicts &conflicts) {
   const ulong now = GetTickCount64();
   const bool lately = conflicts.told_at != 0 && now < conflicts.told_at + (ulong)RECHECK_SECONDS * SECOND;
   if(conflicts.untold == 0 || lately)
      return;
   string what = StringFormat("another %s for %s", conflicts.fields, UtcText(conflicts.first_untold));
   if(conflicts.untold > 1)
      what = StringFormat("other values for %s candles, the first of %s (%s)", Counted(conflicts.untold, conflicts.cut_off),
                          UtcText(conflicts.first_untold), conflicts.fields);
   Print(StringFormat("%s: the service has %s; what it has stays: two terminals feed this name, or this terminal's history changed",
                      series, what));
   conflicts.untold  = 0;
   conflicts.told_at = now;
}

string Counted(const int count, const bool cut_off) {
   return StringFormat("%s%d", cut_off ? "at least " : "", count);
}

// A closed candle whose period is not over by the service's clock, told once for a series: such days come twice a year.
void TellEarly(Series &series, const MqlRates &rates[], const int first, const int total, const string answer) {
   const string early = JsonArray(answer, "early", 0);
   if(series.early_told || StringLen(early) < StringLen("[0]"))
      return;
   const int index = NumberAt(early, 1);
   if(index < 0 || index >= total)
      return;
   Print(StringFormat("%s: the candle of %s should last longer by the service's clock, which closes it by itself at its end and "
                      "keeps it as forming until then; that is normal on days when clocks change, otherwise check BrokerClock and "
                      "BrokerOffsetMinutes", SeriesName(series), UtcText(rates[first + index].time)));
   series.early_told = true;
}

// A broker may have traded volumes for its exchange symbols alone. A series with none at all is told once.
void TellNoVolume(Series &series, const MqlRates &rates[], const int first, const int closed) {
   if(VolumeKind != VOLUME_REAL || series.no_volume_told || closed == 0)
      return;
   for(int i = 0; i < closed; i++) {
      if(rates[first + i].real_volume != 0)
         return;
   }
   Print(StringFormat("%s: the broker has no traded volume for it, so 0 is stored; set VolumeKind to ticks if you want those",
                      SeriesName(series)));
   series.no_volume_told = true;
}

void Forget(Remembered &candles) {
   ArrayResize(candles.times, 0);
   candles.next = 0;
}

// Whether a candle was not among them yet.
bool Remember(Remembered &candles, const datetime time) {
   const int count = ArraySize(candles.times);
   for(int i = 0; i < count; i++) {
      if(candles.times[i] == time)
         return false;
   }
   if(count < CANDLES_REMEMBERED)
      ArrayResize(candles.times, count + 1);
   candles.times[candles.next] = time;
   candles.next = (candles.next + 1) % CANDLES_REMEMBERED;
   return true;
}

void ShowStatus() {
   string status = StringFormat("CandlewickFeed %s to %s: %s\n", VERSION, g_url, FeedStatus());
   if(g_clock_warning != "")
      status += g_clock_warning + "\n";
   else if(g_clock_note != "")
      status += g_clock_note + "\n";
   const int total = ArraySize(g_series);
   for(int i = 0; i < total && i < STATUS_LINES; i++)
      status += SeriesStatus(g_series[i]) + "\n";
   if(total > STATUS_LINES)
      status += StringFormat("and %d more", total - STATUS_LINES);
   Comment(status);
}

string FeedStatus() {
   if(g_stopped)
      return g_trouble;
   if(!g_has_timer)
      return "waits for the terminal to have a timer for it";
   if(!IsConnected())
      return "waits for the terminal to be connected to its broker";
   if(g_clock_warning != "" && BrokerClock == CLOCK_MEASURED)
      return "sends nothing while it is not certain how far the broker's clock is ahead of UTC";
   if(g_clock_warning != "" && !IgnoreClockCheck)
      return "sends nothing while the broker's clock contradicts the inputs";
   const ulong now = GetTickCount64();
   if(now < g_pause_until)
      return StringFormat("tries again in %d s, %s", (int)((g_pause_until - now) / SECOND), g_trouble);
   return "well";
}

string SeriesStatus(const Series &series) {
   string status = StringFormat("%s: %s", SeriesName(series), StageText(series));
   if(series.sent_up_to != 0)
      status += StringFormat(", sent up to %s", UtcText(series.sent_up_to));
   if(series.conflicts.count > 0)
      status += StringFormat(", conflicting candles: %s (see the log)", Counted(series.conflicts.count, series.conflicts.cut_off));
   if(series.left_out_from != 0)
      status += StringFormat(", leaves out candles between %s and %s by the broker's clock (see the log)",
                             BrokerText(series.left_out_from), BrokerText(series.left_out_to));
   if(series.waiting_since != 0)
      status += ", waits for the terminal to load history";
   else if(series.note != "")
      status += StringFormat(", %s", series.note);
   return status;
}

string StageText(const Series &series) {
   switch(series.stage) {
      case STAGE_ASK:
         return "asks where it stands";
      case STAGE_BEGIN:
         return "begins";
      case STAGE_CATCH_UP:
         return StringFormat("catches up, %d to send", Pending(series));
      case STAGE_HISTORY:
         return StringFormat("live, history back to %s", UtcText(series.sent_down_to));
      case STAGE_LIVE:
         return "live";
   }
   return "";
}

int Pending(const Series &series) {
   if(series.sent_up_to == 0)
      return Bars(series.symbol, series.timeframe);
   return (int)MathMax(0, iBarShift(series.symbol, series.timeframe, series.sent_up_to, false));
}

string SeriesName(const Series &series) {
   const string name = series.name == series.symbol ? series.symbol : StringFormat("%s as %s", series.symbol, series.name);
   return StringFormat("%s %s", name, TimeframeName(series.timeframe));
}

string UtcText(const datetime broker) {
   if(BrokerClock == CLOCK_MEASURED && KnownUtc((long)broker) == NO_TIME)
      return BrokerText(broker) + " by the broker's clock";
   return TimeToString(ToUtc(broker), TIME_DATE | TIME_MINUTES) + " UTC";
}

string BrokerText(const datetime broker) {
   return TimeToString(broker, TIME_DATE | TIME_MINUTES);
}

//+------------------------------------------------------------------+
//| Inputs. Each reader returns what is wrong in a sentence, or "".  |
//+------------------------------------------------------------------+
string ReadInputs() {
   string mistake = ReadUrl();
   if(mistake == "")
      mistake = ReadKey();
   if(mistake == "")
      mistake = ReadNumbers();
   ENUM_TIMEFRAMES timeframes[];
   if(mistake == "")
      mistake = ReadTimeframes(timeframes);
   if(mistake == "")
      mistake = ReadSymbols(timeframes);
   return mistake;
}

string ReadUrl() {
   g_url = Trimmed(Url);
   while(StringLen(g_url) > 1 && StringGetCharacter(g_url, StringLen(g_url) - 1) == '/')
      g_url = Left(g_url, StringLen(g_url) - 1);
   const bool https = StringFind(g_url, "https://") == 0;
   const bool http = StringFind(g_url, "http://") == 0;
   if((!https && !http) || StringLen(Host(g_url)) == 0)
      return "Url must be the address of the service, such as https://candles.example.com";
   if(StringFind(g_url, "@") >= 0)
      return "Url must hold no @: requests cannot carry a name and a password; the key belongs in Key";
   if(StringFind(g_url, "/api/") >= 0)
      return "Url must be the address of the service alone, without /api/ and what follows";
   if(!http || IsThisComputer(Host(g_url)))
      return "";
   if(!IsPrivate(Host(g_url)))
      return "Url must begin with https://, because everybody on the way can read the key from http://; only this computer "
             "(http://127.0.0.1) and, with AllowPlainHttp, a private network may do without";
   if(!AllowPlainHttp)
      return "Url must begin with https://, because everybody in this network can read the key from http://; set AllowPlainHttp to "
             "true to accept that";
   return "";
}

// An address of IPv6 has its brackets.
string Host(const string url) {
   string host = StringSubstr(url, StringFind(url, "://") + 3);
   const int path = StringFind(host, "/");
   if(path >= 0)
      host = Left(host, path);
   const int bracket = StringFind(host, "]");
   const int port = bracket < 0 ? StringFind(host, ":") : bracket + 1;
   host = port < 0 ? host : Left(host, port);
   StringToLower(host);
   return host;
}

bool IsThisComputer(const string host) {
   int parts[];
   return host == "localhost" || host == "[::1]" || (IsIpv4(host, parts) && parts[0] == 127);
}

// Private and link-local ranges (RFC 1918, 3927, 4193, 4291), and names that no public name server knows (RFC 6762, 8375).
bool IsPrivate(const string host) {
   int parts[];
   if(IsIpv4(host, parts))
      return parts[0] == 10 || (parts[0] == 172 && parts[1] >= 16 && parts[1] <= 31) || (parts[0] == 192 && parts[1] == 168) ||
             (parts[0] == 169 && parts[1] == 254);
   if(StringFind(host, "[") == 0) {
      const string start = StringSubstr(host, 1, 3);
      const string third = StringSubstr(host, 3, 1);
      return StringFind(start, "fc") == 0 || StringFind(start, "fd") == 0 ||
             (StringFind(start, "fe") == 0 && (third == "8" || third == "9" || third == "a" || third == "b"));
   }
   // A number is an address, too, written in an unusual way.
   const bool bare_name = StringFind(host, ".") < 0 && StringGetCharacter(host, 0) > '9';
   return bare_name || EndsWith(host, ".local") || EndsWith(host, ".lan") ||
          EndsWith(host, ".internal") || EndsWith(host, ".home.arpa");
}

bool IsIpv4(const string host, int &parts[]) {
   string texts[];
   if(StringSplit(host, '.', texts) != 4)
      return false;
   ArrayResize(parts, 4);
   for(int i = 0; i < 4; i++) {
      // Some programs read a number that begins with 0 as octal.
      const bool has_zeros = StringLen(texts[i]) > 1 && StringGetCharacter(texts[i], 0) == '0';
      if(!IsNumber(texts[i]) || StringLen(texts[i]) > 3 || has_zeros)
         return false;
      parts[i] = (int)StringToInteger(texts[i]);
   }
   return true;
}

bool IsNumber(const string text) {
   for(int i = 0; i < StringLen(text); i++) {
      if(StringGetCharacter(text, i) < '0' || StringGetCharacter(text, i) > '9')
         return false;
   }
   return StringLen(text) > 0;
}

bool EndsWith(const string text, const string end) {
   const int start = StringLen(text) - StringLen(end);
   return start > 0 && StringFind(text, end, start) == start;
}

string ReadKey() {
   const string key = Trimmed(Key);
   if(StringLen(key) == 0)
      return "Key is empty; write an ingest key of the service, one of those in its MT5_API_KEY, without the name before it";
   for(int i = 0; i < StringLen(key); i++) {
      const ushort character = StringGetCharacter(key, i);
      if(character <= ' ' || character > '~')
         return "Key holds a blank or a character that no key has; copy it once more";
   }
   g_headers = StringFormat("Content-Type: application/json\r\nX-API-KEY: %s\r\nPrefer: handling=lenient\r\n", key);
   g_headers += StringFormat("User-Agent: CandlewickFeed/%s (MetaTrader 5; build %d)\r\n", VERSION,
                             TerminalInfoInteger(TERMINAL_BUILD));
   return "";
}

string ReadNumbers() {
   string mistake = ReadNumber("TimeoutSeconds", TimeoutSeconds, 1, 60);
   mistake += ReadNumber("HistoryCandles", HistoryCandles, 0, 100000000);
   mistake += ReadNumber("TimerSeconds", TimerSeconds, 1, 3600);
   mistake += ReadNumber("BatchSize", BatchSize, 1, 10000);
   mistake += ReadNumber("ResendCandles", ResendCandles, 1, 1000000);
   mistake += ReadNumber("BrokerOffsetMinutes", BrokerOffsetMinutes, LEAST_OFFSET_MINUTES, MOST_OFFSET_MINUTES);
   return Trimmed(mistake);
}

string ReadNumber(const string name, const int value, const int least, const int most) {
   return value >= least && value <= most ? "" : StringFormat("%s is %d; it must be %d to %d. ", name, value, least, most);
}

string ReadTimeframes(ENUM_TIMEFRAMES &timeframes[]) {
   string items[];
   const int count = SplitList(Timeframes, items);
   ArrayResize(timeframes, 0);
   for(int i = 0; i < count; i++) {
      ENUM_TIMEFRAMES timeframe = PERIOD_CURRENT;
      if(!FindTimeframe(items[i], timeframe))
         return StringFormat("Timeframes holds %s; it takes M1 M2 M3 M4 M5 M6 M10 M12 M15 M20 M30 H1 H2 H3 H4 H6 H8 H12 D1 W1 MN1, "
                             "with commas between them", items[i]);
      ArrayResize(timeframes, ArraySize(timeframes) + 1);
      timeframes[ArraySize(timeframes) - 1] = timeframe;
   }
   return count == 0 ? "Timeframes is empty; write for example M1,H1" : "";
}

bool FindTimeframe(const string text, ENUM_TIMEFRAMES &timeframe) {
   string name = text;
   StringToUpper(name);
   for(int i = 0; i < ArraySize(ALL_TIMEFRAMES); i++) {
      timeframe = ALL_TIMEFRAMES[i];
      if(name == TimeframeName(timeframe) || name == EnumToString(timeframe))
         return true;
   }
   return false;
}

string TimeframeName(const ENUM_TIMEFRAMES timeframe) {
   return StringSubstr(EnumToString(timeframe), StringLen("PERIOD_"));
}

string ReadSymbols(const ENUM_TIMEFRAMES &timeframes[]) {
   string items[];
   int count = SplitList(Symbols, items);
   if(count == 0) {
      count = 1;
      ArrayResize(items, 1);
      items[0] = _Symbol;
   }
   ArrayResize(g_series, 0);
   for(int i = 0; i < count; i++) {
      const int equals = StringFind(items[i], "=");
      const string symbol = equals < 0 ? items[i] : Trimmed(Left(items[i], equals));
      const string name = equals < 0 ? items[i] : Trimmed(StringSubstr(items[i], equals + 1));
      if(StringLen(symbol) == 0 || StringLen(name) == 0 || StringLen(name) > 64 || StringFind(name, "=") >= 0)
         return StringFormat("Symbols holds %s; write EURUSD, or EURUSD.m=EURUSD to store it under another name of up to 64 "
                             "characters", items[i]);
      for(int j = 0; j < ArraySize(timeframes); j++) {
         if(!AddSeries(symbol, name, timeframes[j]))
            return StringFormat("%s %s stands there twice; a stored series can have one source only", name,
                                TimeframeName(timeframes[j]));
      }
   }
   return "";
}

bool AddSeries(const string symbol, const string name, const ENUM_TIMEFRAMES timeframe) {
   const int count = ArraySize(g_series);
   for(int i = 0; i < count; i++) {
      if(g_series[i].name == name && g_series[i].timeframe == timeframe)
         return false;
   }
   ArrayResize(g_series, count + 1);
   g_series[count].symbol              = symbol;
   g_series[count].name                = name;
   g_series[count].timeframe           = timeframe;
   g_series[count].stage               = STAGE_ASK;
   g_series[count].service_last        = 0;
   g_series[count].service_last_before = 0;
   g_series[count].sent_up_to          = 0;
   g_series[count].sent_down_to        = 0;
   g_series[count].forming             = 0;
   g_series[count].forming_volume      = 0;
   g_series[count].most                = BatchSize;
   g_series[count].waiting_since       = 0;
   g_series[count].broken_off          = false;
   g_series[count].loaded_from         = 0;
   g_series[count].wait_until          = 0;
   g_series[count].failures            = 0;
   g_series[count].asked_at            = 0;
   g_series[count].note                = "";
   g_series[count].conflicts.count     = 0;
   g_series[count].conflicts.cut_off   = false;
   g_series[count].conflicts.untold    = 0;
   g_series[count].conflicts.told_at   = 0;
   g_series[count].early_told          = false;
   g_series[count].no_volume_told      = false;
   g_series[count].walks_whole         = BrokerClock == CLOCK_MEASURED;
   g_series[count].rests               = false;
   g_series[count].left_out_from       = 0;
   g_series[count].left_out_to         = 0;
   Forget(g_series[count].rejected);
   Forget(g_series[count].conflicts.candles);
   return true;
}

// The parts between commas or semicolons that are not empty.
int SplitList(const string text, string &items[]) {
   string list = text;
   StringReplace(list, ";", ",");
   string parts[];
   const int count = StringSplit(list, ',', parts);
   ArrayResize(items, 0);
   for(int i = 0; i < count; i++) {
      const string part = Trimmed(parts[i]);
      if(StringLen(part) == 0)
         continue;
      ArrayResize(items, ArraySize(items) + 1);
      items[ArraySize(items) - 1] = part;
   }
   return ArraySize(items);
}

// A length of 0 has StringSubstr take all of the text in some builds.
string Left(const string text, const int length) {
   return length > 0 ? StringSubstr(text, 0, length) : "";
}

string Trimmed(const string text) {
   string trimmed = text;
   StringTrimLeft(trimmed);
   StringTrimRight(trimmed);
   return trimmed;
}
//+------------------------------------------------------------------+
