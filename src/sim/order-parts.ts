/** What generated orders are put together from. Nobody in it exists: names are of nobody, phone numbers kept for fiction. */
export interface Market {
  readonly currency: string;
  readonly country: string;
  readonly city: string;
  readonly timezone: string;
  readonly taxRate: number;
  /** All but the last two digits of the numbers that the regulator keeps for fiction. */
  readonly phone: string;
}

export interface Choice {
  readonly sku: string;
  readonly name: string;
  readonly price: number;
}

export interface Dish extends Choice {
  readonly choices: readonly Choice[];
}

export const MARKETS: readonly Market[] = [
  {
    currency: 'EUR',
    country: 'IE',
    city: 'Nowhere-on-Sea',
    timezone: 'Europe/Dublin',
    taxRate: 9,
    phone: '+353 20 913 01',
  },
  { currency: 'GBP', country: 'GB', city: 'Sampleton', timezone: 'Europe/London', taxRate: 20, phone: '+44 1632 9600' },
  {
    currency: 'USD',
    country: 'US',
    city: 'Exampleville',
    timezone: 'America/New_York',
    taxRate: 8,
    phone: '+1 202 555 01',
  },
];
export const CHANNELS: readonly string[] = ['app', 'web', 'marketplace', 'kiosk', 'telephone'];
export const PAYMENTS: readonly string[] = ['card', 'wallet', 'voucher', 'bank_transfer'];
export const COURIERS: readonly string[] = ['bicycle', 'scooter', 'car', 'on foot'];
export const PLACES: readonly string[] = ['counter', 'pickup shelf', 'drive-through', 'side door'];
export const FIRST_NAMES: readonly string[] =
  'Ada Ben Chloé Dario Élise Finn Gül Hana Inés Jürgen Kwame Liv Mário Noor Øystein Priya'.split(' ');
export const LAST_NAMES: readonly string[] =
  'Example Sample Placeholder Nobody Fictional Specimen Beispiel Ejemplo Exemple Próba'.split(' ');
export const STREETS: readonly string[] = [
  'Example Street',
  'Placeholder Road',
  'Test Lane',
  'Sample Avenue',
  'Fictional Square',
  'Nowhere Way',
];
export const INSTRUCTIONS: readonly string[] = [
  '',
  '',
  'Leave at the door',
  'Ring twice, the bell is quiet',
  'Call on arrival, the gate is locked',
];
export const ORDER_NOTES: readonly string[] = [
  '',
  '',
  '',
  'No cutlery please',
  'Please pack hot and cold apart',
  'Birthday: a candle, if you have one',
];
export const ITEM_NOTES: readonly string[] = [
  'Well done',
  'Cut in half',
  'Sauce on the side',
  'Nut allergy! Please use a clean board',
  'Extra crispy',
];

/** Name and price of each, the choices for a dish after it. */
export const MENU: readonly Dish[] = `
Pizza Margherita 950: Extra mozzarella 150, Fresh basil 50, Gluten-free base 250, Chilli oil 0, Garlic dip 90, Rocket 120
Pizza Quattro Formaggi 1290: Extra gorgonzola 180, Honey 60, Thin base 0, Garlic dip 90, Black pepper 0
Cheeseburger 890: Double patty 350, Bacon 150, No onions 0, Jalapeños 80, Brioche bun 70, Extra cheddar 120, Pickles 0
Vegan burger 940: Avocado 180, Vegan cheese 150, No onions 0, Sweet potato patty 0, Wholemeal bun 50
Chicken tikka masala 1150: Pilau rice 250, Garlic naan 290, Extra hot 0, Mild 0, Mango chutney 80, Raita 120
Pad Thai 1080: Tofu 0, Prawns 320, Extra peanuts 50, No coriander 0, Spicy 0, Lime 0
Sushi set for two 2490: Extra ginger 0, Extra wasabi 0, Soy sauce 0, Miso soup 290, Chopsticks for two 0
Ramen tonkotsu 1320: Soft egg 180, Extra noodles 200, Nori 90, Chāshū 320, Sweetcorn 80, Spring onions 0
Falafel wrap 720: Hummus 90, Halloumi 180, No tomato 0, Extra tahini 60, Pickled turnip 0
Caesar salad 860: Grilled chicken 290, Anchovies 150, No croutons 0, Dressing on the side 0
French fries 390: Large 100, Mayonnaise 50, Ketchup 50, Truffle oil 150, Cheese sauce 120
Crème brûlée 590: Raspberries 120, No sugar crust 0
Chocolate brownie 450: Vanilla ice cream 180, Whipped cream 60, Walnuts 50
Sparkling water 0.5 l 290: Lemon 0, Ice 0
Homemade lemonade 0.4 l 380: Less sugar 0, Mint 0, Ice 0, Large 90
Flat white 350: Oat milk 50, Extra shot 80, Decaf 0, Caramel syrup 60, Large 70
`
  .trim()
  .split('\n')
  .map((line, index) => {
    const [dish, choices] = line.split(': ') as [string, string];
    const sku = `SKU-${4100 + index}`;
    return { ...priced(dish, sku), choices: choices.split(', ').map((choice, i) => priced(choice, `${sku}-${i + 1}`)) };
  });

function priced(text: string, sku: string): Choice {
  const space = text.lastIndexOf(' ');
  return { sku, name: text.slice(0, space), price: Number(text.slice(space + 1)) };
}
